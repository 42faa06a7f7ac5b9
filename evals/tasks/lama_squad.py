"""LAMA's part of SQuAD: statements made of its questions by hand (paper, table 3)."""

from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.lama import PROMPT, Lama, statement_before_mask
from toolformer_ray.evals.task import Question


class LamaSquad(Lama):
    """Read from Squad/test.jsonl."""

    describes = "LAMA, SQuAD: facts as statements to complete; the first five words count"
    path = "lama/Squad/test.jsonl"

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """A statement whose last word is asked for."""
        if before := statement_before_mask(row["masked_sentences"][0]):
            yield Question(prompt=PROMPT.format(before), answers=(row["obj_label"],))
