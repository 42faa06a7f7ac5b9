"""What a benchmark is: where its questions come from, how the model is asked, and when an answer is right.

To add a benchmark, add one file to `evals/tasks/` with one subclass of `Task`; nothing else changes.
"""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from toolformer_ray.evals.rows import read_rows
from toolformer_ray.evals.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Question:
    """One example of a benchmark."""

    prompt: str
    """The text that the model continues."""
    answers: tuple[str, ...]
    """The right answers, of which one is enough."""
    today: datetime.date | None = None
    """The day that the tools take for today; None for the clock's."""
    about: Mapping[str, str] = field(default_factory=dict)
    """By what the results are broken down, such as the relation of a fact."""


class Task(ABC):
    """One benchmark. Zero-shot, as in the paper: the model sees one question and no example."""

    describes: ClassVar[str]
    """One line for the list of tasks."""
    path: ClassVar[str]
    """The default place of its file, or of a folder of files, in the folder of evaluation data."""
    has_data: ClassVar[bool] = True
    """Whether it is among `--tasks all` even if no path is given for it."""
    rule: ClassVar[Rule]
    barred_tools: ClassVar[tuple[str, ...]] = ()
    """Tools, as written in calls, that would give the answer away (paper, section 4.2)."""
    max_new_tokens: ClassVar[int] = 64
    """As many as the rule may look at: 5 or 20 words and a call."""

    @abstractmethod
    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """The questions in one row of the source; none if the benchmark leaves the row out."""

    def rows(self, location: str) -> Iterator[Mapping[str, Any]]:
        """The rows of the source, from a file, a folder, or a data set on the Hugging Face Hub. Raises ValueError."""
        return read_rows(location)

    def read(self, location: str) -> Iterator[Question]:
        """All questions of all rows. Raises ValueError, one line, that names the location."""
        row: Mapping[str, Any] = {}
        try:
            for row in self.rows(location):
                for question in self.questions(row):
                    for text in (question.prompt, *question.answers, *question.about.values()):
                        refuse_half_characters(text, location)
                    yield question
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f"{location} is no data for this task: a row has no usable {error} (it has {', '.join(map(str, row))})"
            ) from error

    def default_location(self, folder: str) -> str:
        """The place of its data in a folder of evaluation data."""
        return str(Path(folder) / self.path)


def texts_of(value: Any) -> list[str]:
    """The answers in a row: one, several, TriviaQA's with their aliases, or SQuAD's under `text`.

    Raises TypeError for anything else.
    """
    if isinstance(value, str | int | float):
        return [str(value)]
    if isinstance(value, Mapping):
        found = [value[name] for name in ("value", "text", "aliases", "normalized_aliases") if name in value]
        if not found:
            raise TypeError(f"answer: there is none in {', '.join(map(str, value)) or 'nothing'}")
        return texts_of(found)
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(text for one in value for text in texts_of(one)))
    raise TypeError(f"answer: it is {value!r}")


def refuse_half_characters(text: str, where: str) -> None:
    """Raise ValueError, one line, for a text with one half of a surrogate pair, which no tokenizer can read."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where} has a text with half a character, {text[error.start]!r}, in {text[:40]!r}; "
            "correct that row or leave it out"
        ) from error
