"""By which yardstick the filter measures what a result is worth."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.fingerprint import added_later

FilterName = Literal["decoys", "paper", "both"]


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """How calls are judged."""

    filter: FilterName = field(default="decoys", metadata=added_later(before="paper", in_paper="paper"))
    """decoys: a call is kept if its own result helps more than other results of its kind, read in the call's place.
    paper: if its result helps more than none at all, read before the text. both: as decoys, with all columns."""
    num_decoys: int = 3
    """How many other results each result is compared with; more cost more and tell better."""

    call_distance: int = 0
    """How many tokens before its place a call stands while it is compared with decoys. A model that has never met a
    call inside a text may need a few dozen to see past it; more cost more."""

    def __post_init__(self) -> None:
        if self.filter not in get_args(FilterName):
            raise OptionError("filter", self.filter, f"it must be one of {', '.join(get_args(FilterName))}")
        if self.call_distance < 0:
            raise OptionError("call_distance", self.call_distance, "it must be at least 0 tokens")
        if self.num_decoys < 2:
            raise OptionError("num_decoys", self.num_decoys, "it must be at least 2, so that decoys can be compared")

    @property
    def decoys_needed(self) -> int:
        """How many decoys each result gets; 0 with the paper's filter."""
        return 0 if self.filter == "paper" else self.num_decoys
