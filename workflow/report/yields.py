"""What came of a run's calls, tool by tool, from the counts of its stages.

`counts` are those of each stage by its name, summed over the shards that are done (`workflow.book.ledger`).
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
    """What became of one tool's calls."""

    tool: str
    offered: int
    """Texts that the tool wanted."""
    places: int
    """Places where a call was likely enough to start."""
    calls: int
    """Distinct calls sampled there, those included that an expensive tool was then not asked."""
    answered: int
    """Calls that the tool answered."""
    kept: int
    """Calls whose result made the next words likelier by tau_f or more."""
    inserted: int
    """Kept calls in C*: at one place of a text only the best one stands."""


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
    """What the approximate screen did to one tool's calls, and how much of what is worth keeping it let through."""

    screen: str
    """The tool."""
    passed: int
    kept: int
    """Of those that passed."""
    control: int
    """Calls that did not pass and were scored all the same."""
    kept_in_control: int
    left_out: int
    """Calls that did not pass and were not scored."""

    @property
    def recall(self) -> float | None:
        """Estimated share of the calls worth keeping that passed: the control slice speaks for all that did not pass.

        None if nothing was found to keep, or calls were left out and none of them drawn into the slice.
        """
        missed = self._missed
        return None if missed is None else _ratio(self.kept, self.kept + missed.expected)

    @property
    def recall_at_least(self) -> float | None:
        """What the recall is at least, 97.5 % of the time: a slice without a kept call is no proof that none was lost.

        None where `recall` is.
        """
        missed = self._missed
        return None if missed is None or self.recall is None else _ratio(self.kept, self.kept + missed.high)

    @property
    def _missed(self) -> Total | None:
        """Calls worth keeping that did not pass."""
        if not self.control:
            return None if self.left_out else Total(expected=0.0, low=0.0, high=0.0)
        return estimate_count(self.kept_in_control, self.control, self.control + self.left_out)


def screen_yields(counts: Counts, tools: Sequence[str]) -> list[ScreenYield]:
    """Of each tool whose calls were screened, by its name."""
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
    """How many rows a stage dropped for a reason."""

    stage: str
    reason: str
    tool: str
    """Empty where it was for none."""
    number: int


def drop_counts(counts: Mapping[str, Mapping[Count, int]]) -> list[DropCount]:
    """All that was dropped, by stage, reason and tool."""
    return list(_drop_counts(counts))


def _drop_counts(counts: Mapping[str, Mapping[Count, int]]) -> Iterator[DropCount]:
    for stage, of_stage in counts.items():
        for name, number in sorted(of_stage.items()):
            if name.what == "dropped":
                yield DropCount(stage, name.detail, name.tool, number)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
