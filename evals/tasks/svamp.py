"""SVAMP (Patel et al. 2021): word problems that cannot be solved by the look of them (paper, table 4)."""

from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.rules import is_first_number
from toolformer_ray.evals.task import Question, Task


class SVAMP(Task):
    """Read from SVAMP.json."""

    describes = "SVAMP: arithmetic word problems with varied wording; the first number counts"
    path = "svamp/SVAMP.json"
    rule = staticmethod(is_first_number)

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """One problem."""
        body = row["Body"].strip().rstrip(".")
        yield Question(prompt=f"{body}. {row['Question'].strip()} The answer is", answers=(str(row["Answer"]),))
