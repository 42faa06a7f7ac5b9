"""TimeQA (Chen et al. 2021): questions about what was so in some year, written by people; in place of TempLAMA.

Judged as the paper judges TempLAMA, that is as LAMA (section 4.2.5); one answer in seventeen is longer.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.open_questions import OpenQuestions
from toolformer_ray.evals.rules import is_among_first_words
from toolformer_ray.evals.task import Question


class TimeQA(OpenQuestions):
    """Read from human_annotated_test.json, by page."""

    describes = "TimeQA: what was so at some time; the first five words count"
    path = "timeqa/human_annotated_test.json.gz"
    rule = staticmethod(is_among_first_words(5))
    barred_tools = ()

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """The questions about a page; those without an answer on it are left out."""
        for question, found in row["questions"]:
            if answers := [place["answer"] for place in found if place["answer"]]:
                yield from super().questions({"question": question, "answer": answers})
