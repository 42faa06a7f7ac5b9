"""MAWPS (Koncel-Kedziorski et al. 2016): word problems collected from the web (paper, table 4).

Read as the collection has it (`sQuestion`, `lSolutions`), or as SVAMP's copy with its numbers apart.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.rules import is_first_number
from toolformer_ray.evals.task import Question, Task


class MAWPS(Task):
    """Read from one of its files, such as AddSub.json, or a folder of them."""

    describes = "MAWPS: arithmetic word problems from the web; the first number counts"
    path = "mawps/mawps_cv.csv"
    rule = staticmethod(is_first_number)

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """One problem."""
        if "sQuestion" in row:
            question, answer = row["sQuestion"], row["lSolutions"][0]
        else:
            numbers = [number.removesuffix(".0") for number in row["Numbers"].split()]
            question = re.sub(r"number(\d+)", lambda match: numbers[int(match[1])], row["Question"])
            answer = row["Answer"]
        yield Question(prompt=f"{' '.join(question.split())} The answer is", answers=(str(answer),))
