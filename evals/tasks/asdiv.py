"""ASDiv (Miao et al. 2020): word problems of primary school; those whose answer is one number (paper, table 4)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.rules import is_first_number
from toolformer_ray.evals.task import Question, Task

_ONE_NUMBER = re.compile(r"(?P<number>-?[\d,]*\.?\d+)\s*(?:\([^)]*\)|%)?\s*")


class ASDiv(Task):
    """Read from ASDiv.xml."""

    describes = "ASDiv: arithmetic word problems; the first number counts"
    path = "asdiv/ASDiv.xml"
    rule = staticmethod(is_first_number)

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """A problem whose answer is one number, with or without a unit: `9 (apples)`."""
        if answer := _ONE_NUMBER.fullmatch(row["Answer"].strip()):
            prompt = f"{row['Body'].strip()} {row['Question'].strip()} The answer is"
            yield Question(prompt=prompt, answers=(answer["number"],))
