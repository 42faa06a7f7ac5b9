"""The border between the generator, which chooses tokens, and the author of a text, who decides what is written.

For every token that the model chooses, the author says what becomes of it: it may write other tokens instead, take
back written ones, have the text wait for something outside, or end it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Choice:
    """The model's next token."""

    token: int
    is_marker_near: bool = False
    """Whether the call-start marker, all its spellings added, is among the `Author.open_within` likeliest entries."""


@dataclass(frozen=True, slots=True)
class Write:
    """Take back so many of the last tokens, then write these; the next token is chosen behind them."""

    ids: Sequence[int]
    take_back: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """The text leaves its slot and keeps its KV cache until `Generator.resume` says how it goes on."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more is written."""


Step = Write | Wait | End


class Author(Protocol):
    """Decides about one text."""

    @property
    def open_within(self) -> int:
        """k: the next choice says whether the start marker is among the k likeliest entries; 0 does not ask."""

    @property
    def may_open(self) -> bool:
        """Whether the next token may hold a `[`; if not, all entries that hold one have probability 0."""

    def take(self, choice: Choice) -> Step:
        """What becomes of the chosen token."""
