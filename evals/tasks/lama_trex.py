"""LAMA's part of T-REx: facts of 41 relations of Wikidata, by LAMA's own templates (paper, table 3)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from toolformer_ray.evals.lama import MASK, PROMPT, Lama, statement_before_mask
from toolformer_ray.evals.rows import read_rows
from toolformer_ray.evals.task import Question


class LamaTREx(Lama):
    """Read from the folder TREx, beside which `relations.jsonl` has the templates."""

    describes = "LAMA, T-REx: facts of Wikidata; the first five words count"
    path = "lama/TREx"

    def __init__(self) -> None:
        self._templates: dict[str, str] = {}

    def rows(self, location: str) -> Iterator[Mapping[str, Any]]:
        """The facts, once the templates of the same folder are read."""
        relations = Path(location).parent / "relations.jsonl"
        self._templates = {row["relation"]: row["template"] for row in read_rows(str(relations))}
        yield from read_rows(location)

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """A fact whose template ends with what is asked for."""
        template = self._templates[row["predicate_id"]]
        statement = template.replace("[X]", row["sub_label"]).replace("[Y]", MASK)
        if before := statement_before_mask(statement):
            yield Question(
                prompt=PROMPT.format(before), answers=(row["obj_label"],), about={"relation": row["predicate_id"]}
            )
