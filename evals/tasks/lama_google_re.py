"""LAMA's part of Google-RE: places and dates of birth and death, by LAMA's own templates (paper, table 3)."""

from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.lama import PROMPT, Lama
from toolformer_ray.evals.task import Question

TEMPLATES = {
    "/people/person/place_of_birth": "{} was born in",
    "/people/person/date_of_birth": "{} (born",
    "/people/deceased_person/place_of_death": "{} died in",
}


class LamaGoogleRE(Lama):
    """Read from the folder Google_RE."""

    describes = "LAMA, Google-RE: births and deaths; the first five words count"
    path = "lama/Google_RE"

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """One person."""
        prompt = PROMPT.format(TEMPLATES[row["pred"]].format(row["sub_label"]))
        yield Question(prompt=prompt, answers=(row["obj_label"],), about={"relation": row["pred"]})
