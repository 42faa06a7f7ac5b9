"""TriviaQA (Joshi et al. 2017): questions of quizzes, with every accepted spelling of the answer (paper, table 5)."""

from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.open_questions import OpenQuestions
from toolformer_ray.evals.task import Question


class TriviaQA(OpenQuestions):
    """Read from test.jsonl, or as the Hub has it: `mandarjoshi/trivia_qa:rc.nocontext:validation`."""

    describes = "TriviaQA: questions of quizzes; the first twenty words count"
    path = "triviaqa/test.jsonl"
    answers_column = "golden_answers"

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """One question; on the Hub its answer is a mapping with the aliases."""
        return super().questions(row if self.answers_column in row else {**row, self.answers_column: row["answer"]})
