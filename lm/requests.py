"""What the engine is asked and what it answers. Ids are token ids; the engine knows no tool and no demonstrations."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text behind what has to be read before it: the sequence shared + own + text."""

    shared_ids: Sequence[int]
    """What many prompts begin with, the beginning-of-sequence token and the demonstrations; read once, and kept."""
    own_ids: Sequence[int]
    """What stands between the shared ids and the text; in an annotation's prompt, x and the opening of its copy."""
    text_ids: Sequence[int]
    """The text's tokens. What comes before each of them is asked for, so the last one is never read."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of a text where calls are sampled."""

    token_index: int
    """The call goes before this token of the text."""
    keys: Sequence[int]
    """One sample per key. A key, 0 <= key < 2**128, is all the randomness of its sample."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the model wrote after the start marker."""

    ids: tuple[int, ...]
    """Every token drawn, the one that ended the sample included."""
    text: str | None
    """What was written before the end marker's character `]`, or before the stop if one was given and came first; None
    if neither came."""

    @property
    def is_finished(self) -> bool:
        """Whether an end marker, or the stop, came in time."""
        return self.text is not None


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Asks for the log-probability of chosen tokens of one sequence."""

    ids: Sequence[int]
    """The whole sequence, its beginning-of-sequence token included."""
    targets: Sequence[int]
    """Indices into `ids`, each at least 1: for j the answer is log p(ids[j] | ids[:j])."""


@dataclass(frozen=True, kw_only=True)
class Insertion:
    """Asks for the log-probability of a text's next tokens behind something written into it."""

    text: int
    """Number of the text."""
    token_index: int
    """What is written stands before this token."""
    ids: Sequence[int]
    """What is written, at least one token."""
    targets: Sequence[int]
    """The tokens of the text that are asked for, rising, none before `token_index`."""
