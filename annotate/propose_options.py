"""How calls are proposed: the options of the stage, and where they differ from the paper."""

import math
from dataclasses import dataclass, field
from typing import Literal

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.fingerprint import added_later

Shown = Literal["output", "whole"]
"""What a prompt shows of a text: only what stands before the place, or the whole text first, as the paper does."""


@dataclass(frozen=True, kw_only=True)
class ProposeOptions:
    """How calls are sampled; the thresholds tau_s, k and m belong to the tools.

    A new option gets `metadata=added_later(before=...)`, so that runs made without it can go on, and `in_paper=...`
    where the paper differs from its default.
    """

    seed: int = 0
    """Changes every sample; equal seeds give equal samples."""
    max_call_tokens: int = 64
    """A sample without an end marker after this many tokens is dropped."""
    temperature: float = field(default=0.5, metadata={"in_paper": 1.0})
    """Divides the logits before a token is drawn; 1 samples from the model as it is, as the paper does."""
    first_sample: Literal["likeliest", "drawn"] = field(
        default="likeliest", metadata=added_later(before="drawn", in_paper="drawn")
    )
    """What the first of the m calls at a place is: the likeliest, token by token; or drawn like the others, as in the
    paper."""
    places: Literal["wanted", "all"] = field(default="wanted", metadata=added_later(before="all", in_paper="all"))
    """Where a call may stand: where the tool says that it could help, such as the calculator before a number that the
    text has not had; or anywhere, as in the paper."""
    rank_by: Literal["opening", "marker"] = field(
        default="opening", metadata=added_later(before="marker", in_paper="marker")
    )
    """What is the most probable at the k places: the opening of a call with the tool's name, behind which samples then
    begin; or the start marker alone, as in the paper."""
    shown: Shown = field(default="output", metadata=added_later(before="whole", in_paper="whole"))
    """What the model is shown of a text: only what stands before the place; or the whole text first, as in the paper,
    from which calls are copied that the model could not know yet."""
    prune_below: float | None = None
    """The lowest tau_f, in nats, that one may want to sweep to later; None: the tool's tau_f. Lower costs more."""
    second_round: bool = field(default=False, metadata=added_later(before=False))
    """Whether the model was fine-tuned on texts with calls. It then proposes calls without being shown demonstrations,
    and they are scored in their place. The paper's one round shows demonstrations and scores calls before the text."""

    def __post_init__(self) -> None:
        if self.max_call_tokens < 1:
            raise OptionError("max_call_tokens", self.max_call_tokens, "it must be at least 1 token")
        if not 0 < self.temperature < math.inf:
            raise OptionError("temperature", self.temperature, "it must be more than 0")
        if self.prune_below is not None and not math.isfinite(self.prune_below):
            raise OptionError("prune_below", self.prune_below, "it must be a number of nats, or left out")
