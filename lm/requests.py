"""What the engine is asked and what it returns. Ids are token ids; the engine knows no tool and no demonstrations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A text behind what has to be read before it: the sequence shared + own + text."""

    shared_ids: Sequence[int]
    """What many prompts begin with: the beginning-of-sequence token and the demonstrations. Read once and cached."""
    own_ids: Sequence[int]
    """What stands between the shared ids and the text; in an annotation prompt, x and the opening of its copy."""
    text_ids: Sequence[int]
    """The text's tokens. Only what precedes each of them matters, so the last one is never read."""
    asked: Sequence[int] | None = None
    """Before which tokens of the text a call may start, in rising order; None: before any. Only their rows go through
    the vocabulary head."""
    opening_ids: Sequence[int] = ()
    """How a call goes on behind the start marker, such as with a tool's name. Its probability counts, and samples begin
    behind it."""
    num_best: int | None = None
    """With `opening_ids`: of so many places, those where the opening is the most probable, its probability is found;
    None: of all that are asked about."""

    def __len__(self) -> int:
        return len(self.shared_ids) + len(self.own_ids) + len(self.text_ids)

    def check(self) -> None:
        """Raises ValueError if nothing precedes the text."""
        if not self.shared_ids:
            raise ValueError("shared_ids is empty; every sequence begins with the tokenizer's bos_ids")
        if self.asked and not 0 <= min(self.asked) <= max(self.asked) < len(self.text_ids):
            raise ValueError(f"asked about token {max(self.asked)} of a text of {len(self.text_ids)} tokens")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place of a text where calls are sampled."""

    token_index: int
    """The call goes before this token of the text."""
    keys: Sequence[int | None]
    """One sample per key. A key, 0 <= key < 2**128, is all the randomness of its sample; None takes the likeliest token
    every time."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What the model wrote behind the opening of a call."""

    ids: tuple[int, ...]
    """Every token drawn, the one that ended the sample included."""
    text: str | None
    """What was written before the end marker's character `]`, or before the stop string if one was given and came
    first; None if neither came."""

    @property
    def is_finished(self) -> bool:
        """Whether an end marker or the stop string came in time."""
        return self.text is not None


ChoosePlaces = Callable[[Sequence[int], Sequence[np.ndarray]], Sequence[Sequence[Place]]]
"""From the numbers of some prompts, and log p(opening) before each token of their texts, to each one's places. It is
minus infinity where it was not asked about or is not among the best (`Prompt.num_best`)."""

PromptBatch = tuple[Sequence[Prompt], ChoosePlaces]
"""Prompts, and who chooses places in them."""

Samples = list[list[list[Sample]]]
"""Per prompt, per chosen place, per key one sample."""


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """Asks for the log-probability of chosen tokens of one sequence."""

    ids: Sequence[int]
    """The whole sequence, its beginning-of-sequence token included."""
    targets: Sequence[int]
    """Indices into `ids`, each at least 1: target j asks for log p(ids[j] | ids[:j])."""

    def check(self) -> None:
        """Raises ValueError for a target that is not inside the sequence or has nothing before it."""
        for target in self.targets:
            if not 1 <= target < len(self.ids):
                raise ValueError(f"target {target} must lie between 1 and {len(self.ids) - 1}, inside the sequence")


@dataclass(frozen=True, kw_only=True)
class Insertion:
    """Asks for the log-probability of tokens of a text after something is inserted into it: an opening, and behind it
    each of several endings by itself."""

    text: int
    """Number of the text."""
    token_index: int
    """The insertion stands before this token."""
    opening: Sequence[int]
    """What is inserted first, at least one token. Read once for all endings."""
    endings: Sequence[Sequence[int]]
    """What follows, at least one token each."""
    targets: Sequence[int]
    """The text's tokens that are asked for, in rising order, none before `token_index`."""

    def check(self, num_tokens: int) -> None:
        """Raises ValueError if the request makes no sense for a text of so many tokens."""
        if not (self.opening and self.endings and all(self.endings) and self.targets):
            raise ValueError("an insertion needs tokens to insert and tokens to ask for")
        if not 0 <= self.token_index <= self.targets[0] <= self.targets[-1] < num_tokens:
            raise ValueError(
                f"targets {list(self.targets)} must lie between place {self.token_index} and the end of the text, "
                f"{num_tokens} tokens"
            )

    def continuations(self, text_ids: Sequence[int]) -> list[list[int]]:
        """What follows the opening: each ending, and the text from the place to the last target."""
        rest = text_ids[self.token_index : self.targets[-1] + 1]
        return [[*ending, *rest] for ending in self.endings]

    def as_requests(self, bos_ids: Sequence[int], text_ids: Sequence[int]) -> list[ScoreRequest]:
        """The same question about whole sequences, one for each ending.

        >>> insertion = Insertion(text=0, token_index=1, opening=[9], endings=[[8], [7, 7]], targets=[2])
        >>> [request.ids for request in insertion.as_requests([0], [5, 6, 1, 2])]
        [[0, 5, 9, 8, 6, 1], [0, 5, 9, 7, 7, 6, 1]]
        """
        before = [*bos_ids, *text_ids[: self.token_index], *self.opening]
        return [
            ScoreRequest(ids=ids, targets=[len(ids) - 1 - self.targets[-1] + target for target in self.targets])
            for ids in ([*before, *continuation] for continuation in self.continuations(text_ids))
        ]


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """The answer to a `ScoreRequest` that also wants the likeliest entries at each target, k of them."""

    log_probs: np.ndarray
    """Float32 (targets,): log p(ids[j] | ids[:j])."""
    likeliest_ids: np.ndarray
    """Int64 (targets, k): the likeliest entries there, the best first."""
    likeliest_log_probs: np.ndarray
    """Float32 (targets, k): their log-probabilities. Where the target is the best, exactly the one in `log_probs`."""
