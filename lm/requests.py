"""What the engine is asked and what it answers. Ids are token ids; the engine knows no tool and no prompt."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """Asks, for every token of a text, how probable the call-start marker is in its place."""

    own_ids: Sequence[int]
    """What stands between the shared ids and the text; in an annotation's prompt, x and the opening of its copy."""
    text_ids: Sequence[int]
    """The text's tokens. The marker is asked for before each of them, so the last one is never read."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of a text where calls are sampled."""

    token_index: int
    """The call goes before this token of the text; equal to the text's length it goes after the last."""
    keys: Sequence[int]
    """One sample per key. A key, 0 <= key < 2**128, is all the randomness of its sample."""


@dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """Asks for samples that continue shared ids, own ids, the text up to a place, and the start marker."""

    own_ids: Sequence[int]
    text_ids: Sequence[int]
    places: Sequence[Place]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the model wrote after the start marker."""

    ids: tuple[int, ...]
    """Every token drawn, the one that ended the sample included."""
    text: str | None
    """What was written before the end marker's character `]`; None if no end marker came."""

    @property
    def is_finished(self) -> bool:
        """Whether an end marker came in time."""
        return self.text is not None


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Asks for the log-probability of chosen tokens of one sequence."""

    ids: Sequence[int]
    """The whole sequence, its beginning-of-sequence token included."""
    targets: Sequence[int]
    """Indices into `ids`, each at least 1: for j the answer is log p(ids[j] | ids[:j])."""
