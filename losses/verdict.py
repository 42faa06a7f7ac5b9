"""Which calls are kept: the rule in Python, the same rule in SQL. What is compared is in `losses.criteria`.

Both sides of a comparison are float32, as the columns of `scored` hold them, so the verdict can be repeated from the
table. Rounding keeps the order of two numbers: what is below a threshold before it is rounded is never above it after.

A call is kept if it meets every one of its filter's `CRITERIA` AND is not struck. Pruning (`pruning_bound`) is only
right because of that AND: a call that cannot meet one of them is lost whatever the others say.

A further criterion is an entry of `CRITERIA` and, with a threshold of its own, a field of `KeepRule`, which has no
default, so that none is forgotten; all that judges, in Python or in SQL, goes by these. Outside this folder it needs
the threshold in `tools.options.Teaching`, under the same name, the column in `records.stages.Scored`, and a higher
version of the stage `score` in `workflow.pipeline`, so that earlier rows, which lack the column, are not taken for
today's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from toolformer_ray.losses.criteria import CRITERIA, THRESHOLDS, CallLosses, decoy_contrasts, is_close
from toolformer_ray.losses.options import FilterName
from toolformer_ray.records.stages import Scored
from toolformer_ray.tools.tool import Tool


@dataclass(frozen=True, kw_only=True)
class KeepRule:
    """Which calls of one tool are kept: those that meet all criteria of the filter and are not struck."""

    filter: FilterName
    min_loss_reduction: float
    """tau_f, in nats; decides nothing with the filter `decoys`."""
    min_contrast: float
    """tau_d, in nats; decides nothing with the filter `paper`."""
    strikes_future_inputs: bool = False
    """Whether calls are struck whose input occurs in the text only after the call (appendix A, machine translation)."""

    @classmethod
    def of(cls, tool: Tool, name: FilterName) -> Self:
        """The rule for a tool, from how it is taught."""
        teaching = tool.teaching
        return cls(
            filter=name,
            min_loss_reduction=teaching.min_loss_reduction,
            min_contrast=teaching.min_contrast,
            strikes_future_inputs=tool.strikes_future_inputs,
        )

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], key: str, tool: Tool | type[Tool]) -> Self:
        """The rule by which a run judged the calls of a tool, from the settings in its run.json."""
        name: FilterName = settings.get("filter", "paper")
        infinite = {"min_loss_reduction": np.inf, "min_contrast": np.inf}
        known = {each: float(settings[f"{key}.{each.replace('_', '-')}"]) for each in THRESHOLDS[name]}
        return cls(filter=name, **infinite | known, strikes_future_inputs=tool.strikes_future_inputs)

    @property
    def least_values(self) -> Mapping[str, float]:
        """The columns of `scored` that are judged, each with the least value that keeps a call."""
        return {each.column: getattr(self, each.threshold) for each in CRITERIA[self.filter]}

    @property
    def decisive(self) -> tuple[object, ...]:
        """What decides the verdict on given losses."""
        if self.filter == "paper":
            return self.min_loss_reduction, self.strikes_future_inputs
        return "decoys", self.min_contrast, self.strikes_future_inputs

    def pruning_bound(self, prune_below: float | None) -> float:
        """Calls that cannot reach this need no further loss: the least threshold of the filter, or `prune_below` if
        that is lower.

        No other criterion can save such a call, since all must be met.
        """
        least = min(getattr(self, each) for each in THRESHOLDS[self.filter])
        return float(least if prune_below is None else min(least, prune_below))

    def settle_verdict(self, losses: CallLosses, alone: Callable[[], CallLosses]) -> CallLosses:
        """The losses for the verdict, once all are known: those `alone` if any value is too close to its threshold."""
        values = [(each.value(losses), getattr(self, each.threshold)) for each in CRITERIA[self.filter]]
        values += [(contrast, self.min_contrast) for contrast in decoy_contrasts(losses.losses_of_decoys)]
        return alone() if any(is_close(value, least) for value, least in values) else losses

    def judge(self, row: Scored) -> Scored:
        """The row with its verdict, and how many of its decoys would have been kept in the result's stead."""
        passing = [self.keeps(replace(row, contrast=contrast)) for contrast in self._contrasts_of_decoys(row)]
        return replace(row, is_kept=self.keeps(row), decoys_passing=sum(passing) if passing else None)

    def keeps(self, row: Scored) -> bool:
        """Whether the call is kept. A row without one of the values (see `Scored`) is not."""
        values = [(getattr(row, column), least) for column, least in self.least_values.items()]
        is_enough = all(value is not None and value >= np.float32(least) for value, least in values)
        return bool(is_enough) and not (self.strikes_future_inputs and row.input_sees_future)

    def is_close_verdict(self, row: Scored) -> bool:
        """Whether the verdict needs losses that are computed alone."""
        values = [(getattr(row, column), least) for column, least in self.least_values.items()]
        values += [(contrast, self.min_contrast) for contrast in self._contrasts_of_decoys(row)]
        return any(value is not None and is_close(value, least) for value, least in values)

    def _contrasts_of_decoys(self, row: Scored) -> list[float]:
        return [float(np.float32(contrast)) for contrast in decoy_contrasts(row.losses_of_decoys)]

    def sql(self) -> str:
        """`keeps` as a condition over `scored`; NULL counts as false."""
        conditions = [f"{column} >= {_literal(least)}" for column, least in self.least_values.items()]
        return " AND ".join([*conditions, *(["NOT input_sees_future"] if self.strikes_future_inputs else [])])


def _literal(threshold: float) -> str:
    return f"'{threshold!r}'::FLOAT" if np.isinf(threshold) else f"{threshold!r}::FLOAT"
