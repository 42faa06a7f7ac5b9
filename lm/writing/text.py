"""One text while it is written."""

from dataclasses import dataclass, field

import numpy as np

from toolformer_ray.lm.attention.cache import CachedSequence
from toolformer_ray.lm.writing.author import Author, Choice, Step, Wait, Write
from toolformer_ray.lm.writing.noise import Noise


@dataclass(frozen=True, slots=True)
class Rule:
    """How a text's next token is chosen."""

    temperature: float
    """What the logits are divided by; 0 takes the likeliest token."""
    noise: np.ndarray | None
    """The step's random numbers; None at temperature 0."""
    may_open: bool
    """Whether entries with a `[` may be chosen."""
    open_within: int
    """k of the paper's inference: is the start marker among the k likeliest? 0 does not ask."""
    top_p: float = 1.0
    """What is drawn is one of the fewest likeliest entries that have so much probability together; 1 draws from all."""


@dataclass(eq=False)
class Text:
    """What stands, how much of it the model has read, and who decides how it goes on."""

    author: Author
    ids: list[int]
    """All tokens; the last `num_unread` of them no pass has read yet."""
    num_unread: int
    temperature: float
    noise: Noise | None
    """None at temperature 0."""
    start: CachedSequence = field(default_factory=CachedSequence)
    """What it goes on from and shares with other texts: never given up while it is written."""
    cached: CachedSequence = field(default_factory=CachedSequence)
    """What has been read of it while it is in no slot."""
    is_over: bool = False
    top_p: float = 1.0
    """As in `Rule`."""
    _rule: Rule | None = None

    def rule(self) -> Rule:
        """How its next token is chosen; the same until `take`, so a pass that runs out of memory can be repeated."""
        if self._rule is None:
            self._rule = Rule(
                temperature=self.temperature,
                noise=self.noise.step() if self.noise else None,
                may_open=self.author.may_open,
                open_within=self.author.open_within if self.author.may_open else 0,
                top_p=self.top_p,
            )
        return self._rule

    def take(self, choice: Choice) -> None:
        """Have the author decide about the next token, behind all that stands."""
        self._rule = None
        self.follow(self.author.take(choice), num_read=len(self.ids))

    def follow(self, step: Step, num_read: int) -> None:
        """Do what the author wants; `num_read` of the tokens have been read."""
        self.num_unread = 0
        if not isinstance(step, Write):
            if not isinstance(step, Wait):
                self.end()
            return
        del self.ids[len(self.ids) - step.take_back :]
        # With nothing new to read, the last token is read again: the token behind it is to be chosen anew.
        num_read = min(num_read, len(self.ids) - (not step.ids))
        self.ids.extend(step.ids)
        self.num_unread = len(self.ids) - num_read

    def end(self) -> None:
        """Nothing more is written; its memory is released."""
        self.is_over, self.noise = True, None
        self.cached = self.start = CachedSequence()

    def lose_cache(self) -> None:
        """Memory ran out: all but what it started from is read again."""
        self.cached = self.start
        self.num_unread = len(self.ids) - len(self.start.ids)
