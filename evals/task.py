"""What a benchmark is: where its questions come from, how the model is asked, and when an answer is right.

One benchmark, one file in `evals/tasks/`, found by being there.
"""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from evals.rows import read_rows
from evals.rules import Rule


@dataclass(frozen=True, kw_only=True)
class Question:
    """One example of a benchmark."""

    prompt: str
    """What the model goes on from."""
    answers: tuple[str, ...]
    """Any of them is right."""
    today: datetime.date | None = None
    """What the tools take for today; None for the clock's day."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the results are broken down by, such as the relation of a fact."""


class Task(ABC):
    """One benchmark. Zero-shot, as in the paper: the model sees one question and no example."""

    describes: ClassVar[str]
    """One line for the list of tasks."""
    path: ClassVar[str]
    """Where its file lies in a folder of evaluation data, unless told otherwise; a folder or a pattern may be."""
    has_data: ClassVar[bool] = True
    """Whether it is asked with `--tasks all` though nobody gave it a path."""
    rule: ClassVar[Rule]
    barred_tools: ClassVar[tuple[str, ...]] = ()
    """Tools, as written in calls, that would give the answer away (paper, section 4.2)."""
    max_new_tokens: ClassVar[int] = 64
    """As many as the rule may need: 5 or 20 words and a call."""

    @abstractmethod
    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """The questions in one row of the source; none if the rules leave it out."""

    def read(self, location: str) -> Iterator[Question]:
        """All questions of a file, a folder, or a data set on the Hugging Face Hub. Raises ValueError, one line."""
        for row in read_rows(location):
            try:
                yield from self.questions(row)
            except (KeyError, TypeError, IndexError, AttributeError) as error:
                raise ValueError(
                    f"{location} is no data for this task: a row has no usable {error} (it has {', '.join(row)})"
                ) from error

    def default_location(self, folder: str) -> str:
        """Its data in a folder of evaluation data."""
        return str(Path(folder) / self.path)


def texts_of(value: Any) -> Sequence[str]:
    """A list of answers, whether the source has one or several."""
    return [str(value)] if isinstance(value, str | int | float) else [str(one) for one in value]
