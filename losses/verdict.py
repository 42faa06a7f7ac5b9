"""Which calls are kept (paper, section 2, "Filtering API Calls"): the rule in Python, the same rule in SQL.

    L+ = L_i(e(c, r))                                  the loss with the call and its result
    L- = min(L_i(epsilon), L_i(e(c, epsilon)))         the better of no call and the call without its result
    keep c  iff  L- - L+ >= tau_f

Both sides of the comparison are float32, as the columns of `scored` hold them, so the verdict can be repeated from the
table. Rounding keeps the order of two numbers: what is below a threshold before it is rounded is never above it after.

A call is kept if it meets every one of `CRITERIA` AND is not struck. Pruning (`pruning_bound`) is only right because of
that AND: a call that cannot reach tau_f is lost whatever the other criteria say.

A further criterion is an entry of `CRITERIA` and a field of `KeepRule` for its threshold, without a default, so that
none is forgotten; all that judges, in Python or in SQL, goes by these. Outside this file it needs the threshold in
`tools.options.Teaching`, under the same name, the column in `records.stages.Scored`, and a higher version of the stage
`score` in `workflow.pipeline`, so that earlier rows, which lack the column, are not taken for today's.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

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
        """The losses and what is judged, as the columns of `scored` hold them: float32, None for NaN."""
        values = vars(self) | {each.column: each.value(self) for each in CRITERIA}
        return {name: None if math.isnan(value) else float(np.float32(value)) for name, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A value that must reach a threshold, both as float32, for a call to be kept."""

    column: str
    """The column of `scored` that holds the value."""
    value: Callable[[CallLosses], float]
    """The value; NaN while a loss that it needs is not computed."""
    threshold: str
    """The least value that keeps a call: a field of `Teaching` and of `KeepRule`."""

    @property
    def setting(self) -> str:
        """The threshold as run.json and the command line name it, without the tool's key."""
        return self.threshold.replace("_", "-")


CRITERIA = (
    Criterion(column="loss_reduction", value=lambda losses: losses.loss_reduction, threshold="min_loss_reduction"),
)
"""All of them must be met."""


def is_close(value: float, threshold: float) -> bool:
    """Whether the last digits, which depend on the batch, could put a loss on the other side of a threshold."""
    return abs(value - threshold) <= CLOSE_NATS


def settle(losses: CallLosses, threshold: float, alone: Callable[[], CallLosses]) -> CallLosses:
    """The losses by which `can_reach` is to be asked: those of a batch or, too close to the threshold, those `alone`.

    `alone` computes the same losses in batches of one sequence, so no answer depends on what else was in a batch.
    """
    return alone() if is_close(losses.largest_reduction, threshold) else losses


@dataclass(frozen=True, kw_only=True)
class KeepRule:
    """Which calls of one tool are kept: those that meet all `CRITERIA` and are not struck."""

    min_loss_reduction: float
    """tau_f, in nats."""
    strikes_future_inputs: bool = False
    """Whether calls are struck whose input occurs in the text only after the call (appendix A, machine translation)."""

    @classmethod
    def of(cls, tool: Tool) -> Self:
        """The rule for a tool, from how it is taught."""
        thresholds = {each.threshold: getattr(tool.teaching, each.threshold) for each in CRITERIA}
        return cls(**thresholds, strikes_future_inputs=tool.strikes_future_inputs)

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], key: str, tool: Tool | type[Tool]) -> Self:
        """The rule by which a run judged the calls of a tool, from the settings in its run.json."""
        thresholds = {each.threshold: float(settings[f"{key}.{each.setting}"]) for each in CRITERIA}
        return cls(**thresholds, strikes_future_inputs=tool.strikes_future_inputs)

    @property
    def least_values(self) -> Mapping[str, float]:
        """The columns of `scored` that are judged, each with the least value that keeps a call."""
        return {each.column: getattr(self, each.threshold) for each in CRITERIA}

    def pruning_bound(self, prune_below: float | None) -> float:
        """Calls that cannot reach this reduction need no further loss: tau_f, or `prune_below` if that is lower.

        No other criterion can save such a call, since all must be met.
        """
        return self.min_loss_reduction if prune_below is None else min(self.min_loss_reduction, prune_below)

    def settle_verdict(self, losses: CallLosses, alone: Callable[[], CallLosses]) -> CallLosses:
        """The losses for the verdict, once all are known: those `alone` if any value is too close to its threshold."""
        values = [(each.value(losses), getattr(self, each.threshold)) for each in CRITERIA]
        return alone() if any(is_close(value, least) for value, least in values) else losses

    def keeps(self, row: Scored) -> bool:
        """Whether the call is kept. A row without one of the values (see `Scored`) is not."""
        values = [(getattr(row, column), least) for column, least in self.least_values.items()]
        is_enough = all(value is not None and value >= np.float32(least) for value, least in values)
        return bool(is_enough) and not (self.strikes_future_inputs and row.input_sees_future)

    def is_close_verdict(self, row: Scored) -> bool:
        """Whether the verdict needs losses that are computed alone."""
        values = [(getattr(row, column), least) for column, least in self.least_values.items()]
        return any(value is not None and is_close(value, least) for value, least in values)

    def sql(self) -> str:
        """`keeps` as a condition over `scored`; NULL counts as false."""
        conditions = [f"{column} >= {least!r}::FLOAT" for column, least in self.least_values.items()]
        return " AND ".join([*conditions, *(["NOT input_sees_future"] if self.strikes_future_inputs else [])])
