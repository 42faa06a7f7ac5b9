"""The yield of a run as tables and lines of plain text."""

from collections.abc import Sequence
from dataclasses import fields

from toolformer_ray.records.counts import Count
from toolformer_ray.workflow.report.text_table import record_table, text_table
from toolformer_ray.workflow.report.yields import Counts, ScreenYield, ToolYield, add_up, drop_counts
from toolformer_ray.workflow.shard.counts import num_broken
from toolformer_ray.workflow.shard.reuse import UNANSWERED


def yield_table(yields: Sequence[ToolYield]) -> str:
    """One line per tool."""
    return record_table(yields) or text_table([field.name for field in fields(ToolYield)], [])


def describe_unanswered(counts: Counts) -> str:
    """How many calls were not answered, with a remedy; empty if there are none."""
    total = add_up(counts)
    found = dict.fromkeys(UNANSWERED, 0)
    for name, number in total.items():
        if name.what == "status" and name.detail in found:
            found[name.detail] += number
    if not any(found.values()):
        return ""
    told = ", ".join(f"{status} {number:,}" for status, number in found.items() if number)
    return f"{sum(found.values()):,} calls were not answered ({told}); annotate with --retry-failed asks them again"


def describe_broken(counts: Counts) -> str:
    """How many texts and calls broke a stage, with a remedy; empty if there are none."""
    found = {stage: number for stage, stage_counts in counts.items() if (number := num_broken(stage_counts))}
    if not found:
        return ""
    told = ", ".join(f"{stage} {number:,}" for stage, number in found.items())
    return f"{sum(found.values()):,} rows broke their stage ({told}), see dropped; --retry-failed tries them again"


def drop_table(counts: Counts) -> str:
    """One line for each stage, reason and tool; empty if nothing was dropped."""
    rows = drop_counts(counts)
    return text_table(["stage", "dropped because", "tool", "number"], rows) if rows else ""


def pruned_table(counts: Counts, tools: Sequence[str]) -> str:
    """What was pruned since it could not be kept any more, one line per tool; empty if nothing was."""
    total = add_up(counts)
    names = [("dropped", "loss_already_low"), ("dropped", "loss_already_low_with_call"), ("lost_at_once", "")]
    numbers = {tool: [total[Count(*name, tool)] for name in names] for tool in tools}
    header = ["pruned", "places by L(eps)", "calls before the tool by L(e(c, eps))", "calls by L+"]
    rows = [[tool, *found] for tool, found in numbers.items()]
    return text_table(header, rows) if any(map(any, numbers.values())) else ""


def screen_table(yields: Sequence[ScreenYield]) -> str:
    """One line per tool and one for all together; empty if nothing was screened."""
    numbers = [field.name for field in fields(ScreenYield) if field.name != "screen"]
    together = ScreenYield(screen="all", **{name: sum(getattr(row, name) for row in yields) for name in numbers})
    rows = [
        [row.screen, *(getattr(row, name) for name in numbers), _share(row.recall), _share(row.recall_at_least)]
        for row in ([*yields, together] if len(yields) > 1 else yields)
    ]
    header = ["screen", *(name.replace("_", " ") for name in numbers), "estimated recall", "at least (97.5 %)"]
    return text_table(header, rows) if rows else ""


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"
