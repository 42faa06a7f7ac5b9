"""How a text is written: how long, how its tokens are chosen, when a call starts and how many there may be."""

import datetime
from dataclasses import dataclass

from toolformer_ray.records.errors import OptionError

# Logits divided by much less leave the range of float32, and what is drawn then is any token.
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-6, 1e6


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """The paper's inference (sections 2 and 4.2): greedy, one call a text, k = 10."""

    max_new_tokens: int = 256
    """Tokens that the model writes at most behind a prompt; those of calls do not count."""
    temperature: float = 0.0
    """What logits are divided by before a token is drawn, 1e-6 to 1e6; 0 always takes the likeliest token."""
    top_p: float = 1.0
    """A token is drawn from the fewest likeliest ones that have so much probability together, above 0 up to 1; 1 draws
    from all."""
    seed: int = 0
    """Of what is drawn. The same seed and prompt give the same text, whatever else is written beside it."""
    stop: tuple[str, ...] = ()
    """A text ends before the first of these strings; what stands in calls does not count."""
    max_calls: int = 1
    """Calls per text (paper: 1). 0 disables them: the start marker gets probability 0, as it does after the last."""
    call_top_k: int = 10
    """A call starts where its start marker is among so many likeliest tokens (paper: 10), all its spellings added;
    with 0 only where it is chosen like any other token."""
    max_call_tokens: int = 64
    """A call whose name and input are longer is none."""
    max_false_starts: int = 3
    """After so many calls that came to nothing before a tool was asked, a text gets no more."""
    barred: tuple[str, ...] = ()
    """Names of tools, as in calls, that a text may not ask."""
    today: datetime.date | None = None
    """The day that tools take for today; by default the clock's."""

    def __post_init__(self) -> None:
        lowest = {"max_new_tokens": 1, "max_calls": 0, "call_top_k": 0, "max_call_tokens": 1, "max_false_starts": 1}
        for option, least in lowest.items():
            if getattr(self, option) < least:
                raise OptionError(option, getattr(self, option), f"it must be at least {least}")
        if self.temperature and not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE:
            allowed = f"it must be 0 or from {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}"
            raise OptionError("temperature", self.temperature, allowed)
        if not 0 < self.top_p <= 1:
            raise OptionError("top_p", self.top_p, "it must be above 0 and at most 1")
        if "" in self.stop:
            raise OptionError("stop", "empty", "give a string or leave the option out")
