"""The yield of a run as tables of plain text: per tool, per stage, what was dropped, what was spared."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from toolformer_ray.workflow.estimate.totals import Total, estimate_count
from toolformer_ray.workflow.shard.broken import BROKEN
from toolformer_ray.workflow.shard.reuse import UNANSWERED


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


def tool_yields(counts: Mapping[str, Counter[str]], tools: Sequence[str]) -> list[ToolYield]:
    """The yield of each tool, by its name, from the counts of each stage."""
    total: Counter[str] = Counter()
    for stage_counts in counts.values():
        total.update(stage_counts)
    return [_tool_yield(tool, total, num_texts=counts["ingest"]["rows"]) for tool in tools]


def tools_counted(counts: Mapping[str, Counter[str]]) -> list[str]:
    """The names of the tools that proposing has counted anything of, in alphabetical order."""
    return sorted({name.rpartition(".")[2] for name in counts["propose"] if "." in name})


def _tool_yield(tool: str, total: Counter[str], *, num_texts: int) -> ToolYield:
    refused = total[f"dropped.not_offered.{tool}"] + total[f"dropped.too_long.{tool}"]
    return ToolYield(
        tool=tool,
        offered=num_texts - refused,
        places=total[f"places.{tool}"],
        calls=total[f"calls.{tool}"] + total[f"dropped.loss_already_low_with_call.{tool}"],
        answered=total[f"status.ok.{tool}"],
        kept=total[f"kept.{tool}"],
        inserted=total[f"inserted.{tool}"],
    )


def yield_table(yields: Sequence[ToolYield]) -> str:
    """One line a tool."""
    return record_table(yields) or text_table([field.name for field in fields(ToolYield)], [])


def record_table(records: Sequence[Any], titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """A line for each record, a column for each field, under its name or another title; empty without records."""
    if not records:
        return ""
    names = [field.name for field in fields(records[0])]
    header = [titles.get(name, name.replace("_", " ")) for name in names]
    return text_table(header, [[getattr(record, name) for name in names] for record in records])


def describe_unanswered(counts: Mapping[str, Counter[str]]) -> str:
    """How many calls no tool answered, and what helps; empty if there are none."""
    found = {status: num_with_status(counts["execute"], status) for status in UNANSWERED}
    if not any(found.values()):
        return ""
    told = ", ".join(f"{status} {number:,}" for status, number in found.items() if number)
    return f"{sum(found.values()):,} calls were not answered ({told}); annotate with --retry-failed asks them again"


def describe_broken(counts: Mapping[str, Counter[str]]) -> str:
    """How many texts and calls broke a stage, and what helps; empty if none did."""
    found = {stage: number for stage, stage_counts in counts.items() if (number := num_broken(stage_counts))}
    if not found:
        return ""
    told = ", ".join(f"{stage} {number:,}" for stage, number in found.items())
    return f"{sum(found.values()):,} rows broke their stage ({told}), see dropped; --retry-failed tries them again"


def num_broken(counts: Mapping[str, int]) -> int:
    """The rows that a stage dropped since it broke on them, of whatever tool."""
    name = f"dropped.{BROKEN}"
    return sum(number for counted, number in counts.items() if counted == name or counted.startswith(f"{name}."))


def num_with_status(counts: Mapping[str, int], status: str) -> int:
    """The calls of one status, of whatever tool."""
    return sum(number for name, number in counts.items() if name.startswith(f"status.{status}."))


def drop_table(counts: Mapping[str, Counter[str]]) -> str:
    """One line for each stage, reason and tool; empty if nothing was dropped."""
    rows = drop_rows(counts)
    return text_table(["stage", "dropped because", "tool", "number"], rows) if rows else ""


def drop_rows(counts: Mapping[str, Mapping[str, int]]) -> list[list[Any]]:
    """[stage, reason, tool, number] of all that was dropped; the tool is empty where it was for none."""
    rows: list[list[Any]] = []
    for stage, stage_counts in counts.items():
        for name, number in sorted(stage_counts.items()):
            if name.startswith("dropped."):
                _, reason, *tool = name.split(".")
                rows.append([stage, reason, *(tool or [""]), number])
    return rows


def pruned_table(counts: Mapping[str, Counter[str]], tools: Sequence[str]) -> str:
    """What needed no further work since it could not be kept, one line a tool; empty if there was nothing of it."""
    names = ["dropped.loss_already_low", "dropped.loss_already_low_with_call", "lost_at_once"]
    total = counts["propose"] + counts["score"]
    numbers = {tool: [total[f"{name}.{tool}"] for name in names] for tool in tools}
    header = ["pruned", "places by L(eps)", "calls before the tool by L(e(c, eps))", "calls by L+"]
    rows = [[tool, *found] for tool, found in numbers.items()]
    return text_table(header, rows) if any(map(any, numbers.values())) else ""


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


def screen_yields(counts: Mapping[str, Counter[str]], tools: Sequence[str]) -> list[ScreenYield]:
    """Of each tool whose calls were screened, by its name."""
    total = counts["score"]
    yields = [
        ScreenYield(
            screen=tool,
            passed=total[f"screened.passed.{tool}"],
            kept=total[f"screened_kept.passed.{tool}"],
            control=total[f"screened.control.{tool}"],
            kept_in_control=total[f"screened_kept.control.{tool}"],
            left_out=total[f"screened.left_out.{tool}"],
        )
        for tool in tools
    ]
    return [row for row in yields if row.passed + row.control + row.left_out]


def screen_table(yields: Sequence[ScreenYield]) -> str:
    """One line a tool, and one for all together; empty if nothing was screened."""
    numbers = [field.name for field in fields(ScreenYield) if field.name != "screen"]
    together = ScreenYield(screen="all", **{name: sum(getattr(row, name) for row in yields) for name in numbers})
    rows = [
        [row.screen, *(getattr(row, name) for name in numbers), _share(row.recall), _share(row.recall_at_least)]
        for row in ([*yields, together] if len(yields) > 1 else yields)
    ]
    header = ["screen", *(name.replace("_", " ") for name in numbers), "estimated recall", "at least (97.5 %)"]
    return text_table(header, rows) if rows else ""


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need, numbers to the right."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    is_number = [bool(rows) and all(isinstance(row[c], int | float) for row in rows) for c in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
