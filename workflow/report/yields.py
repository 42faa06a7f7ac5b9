"""The yield of a run per tool: how many calls were proposed, answered, kept; what was dropped; what was screened out.

`counts` are the counts of each stage by its name, summed over the shards that are done.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.totals import Total, estimate_count

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
    """Calls whose result made the next words likelier by tau_f or more."""
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


@dataclass(frozen=True, kw_only=True)
class ScreenYield:
    """The approximate screen's decisions about one tool's calls, and its estimated recall."""

    screen: str
    """The tool."""
    passed: int
    kept: int
    """Calls that passed and were kept."""
    control: int
    """Calls that did not pass and were scored all the same."""
    kept_in_control: int
    left_out: int
    """Calls that did not pass and were not scored."""

    @property
    def recall(self) -> float | None:
        """The estimated share of the calls worth keeping that passed, where the control slice stands for all others.

        None if nothing was kept, or if calls were left out and the control slice is empty.
        """
        missed = self._missed
        return None if missed is None else _ratio(self.kept, self.kept + missed.expected)

    @property
    def recall_at_least(self) -> float | None:
        """A lower bound of the recall at 97.5 %, since none kept in the slice does not prove that none was lost.

        None where `recall` is None.
        """
        missed = self._missed
        return None if missed is None or self.recall is None else _ratio(self.kept, self.kept + missed.high)

    @property
    def _missed(self) -> Total | None:
        """The calls worth keeping that did not pass."""
        if not self.control:
            return None if self.left_out else Total(expected=0.0, low=0.0, high=0.0)
        return estimate_count(self.kept_in_control, self.control, self.control + self.left_out)


def screen_yields(counts: Counts, tools: Sequence[str]) -> list[ScreenYield]:
    """Of each tool whose calls were screened."""
    total = add_up(counts)
    yields = [
        ScreenYield(
            screen=tool,
            passed=total[Count("screened", "passed", tool)],
            kept=total[Count("screened_kept", "passed", tool)],
            control=total[Count("screened", "control", tool)],
            kept_in_control=total[Count("screened_kept", "control", tool)],
            left_out=total[Count("screened", "left_out", tool)],
        )
        for tool in tools
    ]
    return [row for row in yields if row.passed + row.control + row.left_out]


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


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
