"""The yield of a run as tables and lines of plain text."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from toolformer_ray.losses.false_share import Chance
from toolformer_ray.records.counts import Count
from toolformer_ray.workflow.report.text_table import record_table, text_table
from toolformer_ray.workflow.report.yields import Counts, ToolYield, add_up, drop_counts
from toolformer_ray.workflow.shard.counts import num_broken
from toolformer_ray.workflow.shard.reuse import UNANSWERED

DOUBTFUL_SHARE = 0.2
"""An estimated false share above which a tool's kept calls are told to be doubtful."""


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


def describe_proposer(proposer: str, counts: Counts) -> str:
    """Who proposed, and how many calls had to be moved to another token border; empty if the model that scores did."""
    if not proposer:
        return ""
    numbers = {what: sum(n for name, n in add_up(counts).items() if name.what == what) for what in ("calls", "moved")}
    moved = f"; {numbers['moved']:,} of {numbers['calls']:,} calls stand at another token border than proposed"
    return f"proposed by {proposer}{moved if numbers['moved'] else ''}"


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


def false_share_table(chances: Mapping[str, Chance]) -> str:
    """How many of each tool's kept calls chance would have kept, and what to do where it is many; empty without
    decoys."""
    rows = [
        [tool, chance.kept, f"{chance.decoys_passing:,} of {chance.decoys:,}", describe_share(chance.false_share)]
        for tool, chance in chances.items()
    ]
    if not rows:
        return ""
    table = text_table(["tool", "kept", "decoys that would have been kept", "estimated false share"], rows)
    doubtful = [tool for tool, chance in chances.items() if (chance.false_share or 0.0) > DOUBTFUL_SHARE]
    if not doubtful:
        return table
    return (
        f"{table}\nMore than a fifth of what is kept of {', '.join(doubtful)} may be chance: finetune and export choose"
        " higher thresholds with --max-false-share 0.1"
    )


def describe_share(share: float | None) -> str:
    """`4.2%`, or `unknown`."""
    return "unknown" if share is None else f"{share:.1%}"
