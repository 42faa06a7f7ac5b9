"""What the generator says of each token and what it is answered: the border between numbers and whoever decides.

The generator chooses tokens; the author of a text says what is written because of them. An author may write other
tokens than the chosen one, take written ones back, or have the text wait for something, out of everybody's way.
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
    """Take back so many of the last tokens, then write these; the next choice is made behind them."""

    ids: Sequence[int]
    take_back: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """The text leaves the batch, its keys and values are kept, until `Generator.resume` says how it goes on."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more is written."""


Step = Write | Wait | End


class Author(Protocol):
    """Decides about one text."""

    @property
    def open_within(self) -> int:
        """k: the next choice tells whether the start marker is among the k likeliest entries; 0 where none is to be
        known."""

    @property
    def may_open(self) -> bool:
        """Whether the next token may hold a `[`; if not, all entries with one have probability 0."""

    def take(self, choice: Choice) -> Step:
        """What becomes of the chosen token."""
