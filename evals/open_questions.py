"""What the benchmarks of open questions have in common (paper, table 5)."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from toolformer_ray.evals.rules import is_among_first_words
from toolformer_ray.evals.task import Question, Task, texts_of

PROMPT = "Answer the following question: {}"
"""The paper's, appendix C.3."""


class OpenQuestions(Task):
    """The answer is among the first twenty words; the tool that answers questions is barred."""

    rule = staticmethod(is_among_first_words(20))
    barred_tools: ClassVar[tuple[str, ...]] = ("QA",)
    question_column = "question"
    answers_column = "answer"

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """One question with all its answers."""
        question = row[self.question_column].strip().strip('"').rstrip("?")
        yield Question(prompt=PROMPT.format(f"{question}?"), answers=tuple(texts_of(row[self.answers_column])))
