"""The yield of a run per tool: how many calls were proposed, answered, kept; what was dropped; by chance.

`counts` are the counts of each stage by its name, summed over the shards that are done.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from toolformer_ray.losses.false_share import Chance
from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.workflow.pipeline import PIPELINE

Counts = Mapping[str, Counter[Count]]


@dataclass(frozen=True, kw_only=True)
class ToolYield:
    """The yield of one tool."""

    tool: str
    offered: int
    """Texts that the tool wants and that fit into the prompt."""
    places: int
    """Places that were chosen, where a call is likely enough to start."""
    calls: int
    """Distinct calls sampled there, including those that an expensive tool was then not asked."""
    answered: int
    """Calls that the tool answered."""
    kept: int
    """Calls whose result made the next words likelier by the filter's threshold or more."""
    inserted: int
    """Kept calls in C*, which has only the best one at each place of a text."""


def tool_yields(counts: Counts, tools: Sequence[str]) -> list[ToolYield]:
    """The yield of each tool, by its name."""
    total = add_up(counts)
    num_texts = counts[PIPELINE[0].name][ROWS]
    return [_tool_yield(tool, total, num_texts=num_texts) for tool in tools]


def add_up(counts: Counts) -> Counter[Count]:
    """The counts of all stages. Only `rows` and `dropped` are counted by more than one of them."""
    return sum(counts.values(), Counter[Count]())


def tools_counted(counts: Counts) -> list[str]:
    """The names of the tools of which anything was counted, in alphabetical order."""
    return sorted({name.tool for name in add_up(counts) if name.tool})


def _tool_yield(tool: str, total: Counter[Count], *, num_texts: int) -> ToolYield:
    refused = total[Count("dropped", "not_offered", tool)] + total[Count("dropped", "too_long", tool)]
    return ToolYield(
        tool=tool,
        offered=num_texts - refused,
        places=total[Count("places", tool=tool)],
        calls=total[Count("calls", tool=tool)] + total[Count("dropped", "loss_already_low_with_call", tool)],
        answered=total[Count("status", "ok", tool)],
        kept=total[Count("kept", tool=tool)],
        inserted=total[Count("inserted", tool=tool)],
    )


def chances(counts: Counts, tools: Sequence[str]) -> dict[str, Chance]:
    """What tells the false share of each tool that had calls with decoys."""
    total, names = add_up(counts), [field.name for field in fields(Chance)]
    found = {tool: Chance(**{name: total[Count("chance", name, tool)] for name in names}) for tool in tools}
    return {tool: chance for tool, chance in found.items() if chance.calls}


class DropCount(NamedTuple):
    """How many rows a stage dropped for one reason, of one tool."""

    stage: str
    reason: str
    tool: str
    """Empty if the rows belong to no tool."""
    number: int


def drop_counts(counts: Mapping[str, Mapping[Count, int]]) -> list[DropCount]:
    """Everything that was dropped, by stage, reason and tool."""
    return list(_drop_counts(counts))


def _drop_counts(counts: Mapping[str, Mapping[Count, int]]) -> Iterator[DropCount]:
    for stage, of_stage in counts.items():
        for name, number in sorted(of_stage.items()):
            if name.what == "dropped":
                yield DropCount(stage, name.detail, name.tool, number)
