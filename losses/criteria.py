"""What is known of a call's losses, and what of them decides whether the call is kept.

The paper (section 2, "Filtering API Calls") asks whether the result helps more than none:

    L+ = L_i(e(c, r))                                  the loss with the call and its result, before the text
    L- = min(L_i(epsilon), L_i(e(c, epsilon)))         the better of no call and the call without its result
    L- - L+ >= tau_f

The filter `decoys` asks whether this result helps more than others of its kind. The call stands in its place:

    L(r)                                               the loss of the text behind the call with its result
    L(d_1) .. L(d_K)                                   with K other results in its stead, of the same kind and shape
    mean L(d_k) - L(r) >= tau_d                        the contrast
    L_i(epsilon) >= tau_d                              else the text says so without a call

Its loss is counted from the first token that is not white space alone, since no answer tells that one.

Whatever a call does to a text beside answering cancels in the contrast. The second condition is needed since nothing
bounds the loss with a decoy: a wrong result may mislead a model that would have been right by itself. It is also what
allows pruning: no answer can spare the text more than it costs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolformer_ray.losses.options import FilterName

CLOSE_NATS = 1e-4
"""Losses of one sequence from different batches differ by less than this."""

VALUE_SQL = "coalesce(contrast, loss_reduction)"
"""What a call is worth to the filter that judged it, of a row of `scored`: by this, calls at one place are ranked."""
LARGEST_VALUE_SQL = "coalesce(contrast, loss_reduction, loss_without - loss_with_result)"
"""The same, or the largest loss reduction that the known losses allow, of a row whose result was scored."""


@dataclass(frozen=True, kw_only=True)
class CallLosses:
    """The losses of a call in weighted nats, named as the columns of `scored`; NaN where one is not computed."""

    loss_without: float = math.nan
    """L_i(epsilon)."""
    loss_with_call: float = math.nan
    """L_i(e(c, epsilon))."""
    loss_with_result: float = math.nan
    """L+."""
    loss_in_place: float = math.nan
    """L(r)."""
    losses_of_decoys: tuple[float, ...] = ()
    """L(d_1) .. L(d_K)."""

    def having(self, name: str, loss: float) -> "CallLosses":
        """The losses with another one, given by its name."""
        changed: dict[str, Any] = {name: loss}
        return replace(self, **changed)

    @property
    def loss_reduction(self) -> float:
        """L- minus L+; NaN unless all three are known.

        >>> CallLosses(loss_without=2.0, loss_with_call=1.5, loss_with_result=0.25).loss_reduction
        1.25
        """
        return float(np.minimum(self.loss_without, self.loss_with_call)) - self.loss_with_result

    @property
    def contrast(self) -> float:
        """The mean loss with a decoy minus the loss with the result; NaN without decoys.

        >>> CallLosses(loss_in_place=0.5, losses_of_decoys=(1.0, 2.0, 3.0)).contrast
        1.5
        """
        if not self.losses_of_decoys:
            return math.nan
        return math.fsum(self.losses_of_decoys) / len(self.losses_of_decoys) - self.loss_in_place

    @property
    def largest_reduction(self) -> float:
        """The largest L- minus L+ that the known losses allow: L- is at most each of its terms, and L+ at least 0.

        >>> CallLosses(loss_without=2.0).largest_reduction
        2.0
        >>> CallLosses(loss_without=2.0, loss_with_result=0.25).largest_reduction
        1.75
        """
        known_result = 0.0 if math.isnan(self.loss_with_result) else self.loss_with_result
        return float(np.fmin(self.loss_without, self.loss_with_call)) - known_result

    def can_reach(self, threshold: float) -> bool:
        """Whether L- minus L+ may still be at least the threshold, both as float32."""
        return bool(np.float32(self.largest_reduction) >= np.float32(threshold))

    def columns(self) -> dict[str, Any]:
        """The losses and what is judged, as the columns of `scored` hold them: float32, None for NaN."""
        values = vars(self) | {"loss_reduction": self.loss_reduction, "contrast": self.contrast}
        decoys = tuple(float(np.float32(loss)) for loss in values.pop("losses_of_decoys"))
        numbers = {name: None if math.isnan(value) else float(np.float32(value)) for name, value in values.items()}
        return {**numbers, "losses_of_decoys": decoys}


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A value that must reach a threshold, both as float32, for a call to be kept."""

    column: str
    """The value: a property of `CallLosses`, NaN while a loss that it needs is not computed, and a column of
    `scored`."""
    threshold: str
    """The least value that keeps a call: a field of `Teaching` and of `KeepRule`."""

    @property
    def setting(self) -> str:
        """The threshold as run.json and the command line name it, without the tool's key."""
        return self.threshold.replace("_", "-")

    def value(self, losses: CallLosses) -> float:
        """The value that the losses give."""
        value: float = getattr(losses, self.column)
        return value


_DECOYS = (
    Criterion(column="contrast", threshold="min_contrast"),
    Criterion(column="loss_without", threshold="min_contrast"),
)
CRITERIA: Mapping[FilterName, tuple[Criterion, ...]] = {
    "paper": (Criterion(column="loss_reduction", threshold="min_loss_reduction"),),
    "decoys": _DECOYS,
    "both": _DECOYS,
}
"""By filter, what must all be met."""
THRESHOLDS: Mapping[FilterName, tuple[str, ...]] = {
    "paper": ("min_loss_reduction",),
    "decoys": ("min_contrast",),
    "both": ("min_contrast", "min_loss_reduction"),
}
"""By filter, the thresholds down to which its columns are complete: no loss is left out that one of them needs."""


def decoy_contrasts(losses_of_decoys: Sequence[float]) -> list[float]:
    """Of each decoy, the mean loss with the others minus the loss with it; none if there is only one.

    >>> decoy_contrasts((1.0, 2.0, 6.0))
    [3.0, 1.5, -4.5]
    """
    others = len(losses_of_decoys) - 1
    total = math.fsum(losses_of_decoys)
    return [(total - loss) / others - loss for loss in losses_of_decoys] if others > 0 else []


def is_close(value: float, threshold: float) -> bool:
    """Whether the last digits, which depend on the batch, could put a loss on the other side of a threshold."""
    return abs(value - threshold) <= CLOSE_NATS


def settle(losses: CallLosses, threshold: float, alone: Callable[[], CallLosses]) -> CallLosses:
    """The losses by which `can_reach` is to be asked: those of a batch or, too close to the threshold, those `alone`.

    `alone` computes the same losses in batches of one sequence, so no answer depends on what else was in a batch.
    """
    return alone() if is_close(losses.largest_reduction, threshold) else losses
