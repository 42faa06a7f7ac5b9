"""Which calls are kept (paper, section 2, "Filtering API Calls"): the rule in Python, the same rule in SQL.

    L+ = L_i(e(c, r))                                  the loss with the call and its result
    L- = min(L_i(epsilon), L_i(e(c, epsilon)))         the better of no call and the call without its result
    keep c  iff  L- - L+ >= tau_f

Both sides of the comparison are float32, as the columns of `scored` hold them, so the verdict can be repeated from the
table. Rounding keeps the order of two numbers: what is below a threshold before it is rounded is never above it after.

A further rule is a field of `KeepRule` for its threshold and an entry of `least_values` for its column, of which
`CallLosses` has the value; everything that judges, in Python or in SQL, goes by these.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from toolformer_ray.records.stages import Scored
from toolformer_ray.tools.tool import Tool

CLOSE_NATS = 1e-4
"""Losses of one sequence from different batches differ by less than this."""

LARGEST_REDUCTION_SQL = "coalesce(loss_reduction, loss_without - loss_with_result)"
"""`CallLosses.largest_reduction` of a row of `scored` that has an L+."""


@dataclass(frozen=True, kw_only=True)
class CallLosses:
    """The losses of a call in weighted nats, named as the columns of `scored`; NaN where one is not computed."""

    loss_without: float = math.nan
    """L_i(epsilon)."""
    loss_with_call: float = math.nan
    """L_i(e(c, epsilon))."""
    loss_with_result: float = math.nan
    """L+."""

    @property
    def loss_reduction(self) -> float:
        """L- minus L+; NaN unless all three are known.

        >>> CallLosses(loss_without=2.0, loss_with_call=1.5, loss_with_result=0.25).loss_reduction
        1.25
        """
        return float(np.minimum(self.loss_without, self.loss_with_call)) - self.loss_with_result

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

    def columns(self) -> dict[str, float | None]:
        """The losses and the loss reduction as the columns of `scored` hold them: float32, None for NaN."""
        values = vars(self) | {"loss_reduction": self.loss_reduction}
        return {name: None if math.isnan(value) else float(np.float32(value)) for name, value in values.items()}


def is_close(value: float, threshold: float) -> bool:
    """Whether the last digits, which depend on the batch, could put a loss on the other side of a threshold."""
    return abs(value - threshold) <= CLOSE_NATS


def settle(
    losses: CallLosses, threshold: float, alone: Callable[[], CallLosses], *, difference: str = "largest_reduction"
) -> CallLosses:
    """The losses whose difference is compared with a threshold: those of a batch or, too close to it, those `alone`.

    `alone` computes the same losses in batches of one sequence, so no verdict depends on what else was in a batch.
    """
    return alone() if is_close(getattr(losses, difference), threshold) else losses


@dataclass(frozen=True, kw_only=True)
class KeepRule:
    """Which calls of one tool are kept."""

    min_loss_reduction: float
    """tau_f, in nats."""
    strikes_future_inputs: bool = False
    """Whether calls are struck whose input occurs in the text only after the call (appendix A, machine translation)."""

    @classmethod
    def of(cls, tool: Tool) -> Self:
        """The rule for a tool, from how it is taught."""
        return cls(
            min_loss_reduction=tool.teaching.min_loss_reduction, strikes_future_inputs=tool.strikes_future_inputs
        )

    @property
    def least_values(self) -> Mapping[str, float]:
        """Columns of `scored`, properties of `CallLosses`, that have a threshold: the least value that keeps a call."""
        return {"loss_reduction": self.min_loss_reduction}

    def pruning_bound(self, prune_below: float | None) -> float:
        """Calls that cannot reach this reduction need no further loss: tau_f, or `prune_below` if that is lower."""
        return self.min_loss_reduction if prune_below is None else min(self.min_loss_reduction, prune_below)

    def settle(self, losses: CallLosses, alone: Callable[[], CallLosses]) -> CallLosses:
        """The losses for the verdict, once all are known; see the function `settle`."""
        for column, least in self.least_values.items():
            losses = settle(losses, least, alone, difference=column)
        return losses

    def keeps(self, row: Scored) -> bool:
        """Whether the call is kept. A row without one of the values (see `Scored`) is not."""
        values = [(getattr(row, column), least) for column, least in self.least_values.items()]
        is_enough = all(value is not None and value >= np.float32(least) for value, least in values)
        return bool(is_enough) and not (self.strikes_future_inputs and row.input_sees_future)

    def is_close(self, row: Scored) -> bool:
        """Whether the verdict needs losses that are computed alone."""
        values = [(getattr(row, column), least) for column, least in self.least_values.items()]
        return any(value is not None and is_close(value, least) for value, least in values)

    def sql(self) -> str:
        """`keeps` as a condition over `scored`; NULL counts as false."""
        conditions = [f"{column} >= {least!r}::FLOAT" for column, least in self.least_values.items()]
        return " AND ".join([*conditions, *(["NOT input_sees_future"] if self.strikes_future_inputs else [])])
