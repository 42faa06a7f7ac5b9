"""Which rows of a run's `scored` are chosen: by the run's own verdicts, or by other thresholds for some tools."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolformer_ray.losses.criteria import THRESHOLDS
from toolformer_ray.losses.false_share import lowest_threshold
from toolformer_ray.losses.options import FilterName
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.errors import OptionError
from toolformer_ray.tools.tool import Tool

Contrasts = Sequence[tuple[float, float, Sequence[float]]]
"""loss_without, contrast and losses_of_decoys of calls."""


@dataclass(frozen=True, kw_only=True)
class AskedThresholds:
    """Thresholds other than the run's."""

    by_name: Mapping[str, Mapping[str, float]]
    """`min_loss_reduction` and `min_contrast`, each by key of the tool."""
    max_false_share: float | None
    """Chooses a threshold for every tool that has none."""

    def check(self, keys: Collection[str]) -> None:
        """Raise OptionError for a value that makes no sense; `keys` are those of the tools that there are."""
        share = self.max_false_share
        if share is not None and not 0 <= share < 1:
            raise OptionError("max_false_share", share, "it must be at least 0 and less than 1")
        known = ", ".join(keys)
        told: set[str] = set()
        for name, by_key in self.by_name.items():
            for key, value in by_key.items():
                if key not in keys:
                    raise OptionError(f"{name}.{key}", value, f"there is no such tool, only {known}")
                if not value > 0:
                    raise OptionError(f"{name}.{key}", value, "it must be more than 0 nats")
                if key in told:
                    raise OptionError(f"{name}.{key}", value, "give one threshold for a tool: a call has one rule")
                told.add(key)


@dataclass(frozen=True, kw_only=True)
class AnnotatedRun:
    """A run, as far as its verdicts go."""

    shown: str
    settings: Mapping[str, Any]
    tools: Mapping[str, type[Tool]]
    """By key: the tools that there are and those that the run declares."""
    contrasts: Callable[[str, bool], Contrasts]
    """Name of a tool, and whether calls are left out whose input only comes later -> those of its calls that have
    decoys."""

    @property
    def filter(self) -> FilterName:
        """By which it was annotated."""
        name: FilterName = self.settings.get("filter", "paper")
        return name


def condition(run: AnnotatedRun, asked: AskedThresholds) -> str:
    """Which rows of `scored` are chosen, in SQL. Raises OptionError for a threshold that the run's columns cannot
    tell."""
    rules = {run.tools[key].name: rule for key, rule in _rules(run, asked)}
    names = ", ".join(f"'{name}'" for name in rules)
    own = f"is_kept AND tool NOT IN ({names})" if names else "is_kept"
    return " OR ".join([f"({own})", *(f"(tool = '{name}' AND {rule.sql()})" for name, rule in rules.items())])


def _rules(run: AnnotatedRun, asked: AskedThresholds) -> Iterator[tuple[str, KeepRule]]:
    """The rules that differ from the run's, by key of the tool."""
    given = [(name, key, value) for name, by_key in asked.by_name.items() for key, value in by_key.items()]
    for name, key, value in given:
        yield key, _given_rule(run, name, key, value)
    if asked.max_false_share is None:
        return
    if run.filter == "paper":
        remedy = f"{run.shown} was annotated with the paper's filter, which has no decoys to tell a false share"
        raise OptionError("max_false_share", asked.max_false_share, remedy)
    for key in run.settings["tools"]:
        if key not in {its_key for _, its_key, _ in given}:
            rule, tool = KeepRule.of_settings(run.settings, key, run.tools[key]), run.tools[key]
            lowest = max(rule.pruning_bound(run.settings.get("prune-below")), 0.0)
            contrasts = run.contrasts(tool.name, tool.strikes_future_inputs)
            threshold = lowest_threshold(contrasts, lowest, asked.max_false_share)
            yield key, replace(rule, filter="decoys", min_contrast=threshold)


def _given_rule(run: AnnotatedRun, name: str, key: str, value: float) -> KeepRule:
    option, tool = f"{name}.{key}", run.tools[key]
    if key not in run.settings["tools"]:
        raise OptionError(option, value, f"{run.shown} was not annotated with this tool")
    if name not in THRESHOLDS[run.filter]:
        raise OptionError(
            option, value, f"{run.shown} was annotated with the filter {run.filter}, which has no such one"
        )
    annotated = KeepRule.of_settings(run.settings, key, tool)
    if value < (lowest := annotated.pruning_bound(run.settings.get("prune-below"))):
        remedy = f"annotate it again with `prune_below` {value} and `change_settings`"
        raise OptionError(option, value, f"{run.shown} was pruned below {lowest}: {remedy}")
    if name == "min_contrast":
        return replace(annotated, filter="decoys", min_contrast=value)
    return replace(annotated, filter="paper", min_loss_reduction=value)
