"""Why a tool has no kept call: where its calls were lost, the best of them, and which option to try.

Reads the counts of the run and, if calls were scored, the tables `scored` and `documents` in DuckDB.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from toolformer_ray.losses.criteria import CRITERIA
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.calls import render_call
from toolformer_ray.records.counts import Count
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder, shard_of
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.brought.declared import tools_known_to
from toolformer_ray.workflow.report.query import open_table
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.report.times import MAX_SHARDS_READ
from toolformer_ray.workflow.report.yields import Counts, ToolYield, add_up, tool_yields

NUM_BEST = 3
CHARS_AROUND = 30
MAX_INPUT_CHARS = 40
SCORE = "score"
"""The stage after which a call is kept or not."""
BEST = """
SELECT {columns}, call_input, result,
       right(left(text, char_offset), {around}), left(substr(text, char_offset + 1), {around})
FROM scored JOIN documents USING (text_id)
WHERE tool = ? AND status = 'ok' AND {margin} IS NOT NULL
ORDER BY {margin} DESC, text_id, char_offset, call_input LIMIT {limit}
"""
"""The calls that came closest to being kept: of what the filter asks for, each lacks the least."""


@dataclass(frozen=True, kw_only=True)
class _Tool:
    """A tool that has no kept call."""

    name: str
    key: str
    rule: KeepRule


@dataclass(frozen=True, kw_only=True)
class _Best:
    """A call that came close to being kept."""

    values: Sequence[float]
    """What the filter judges, in the order of the rule's `least_values`."""
    shown: str
    """The call in its text, on one line."""


def describe_nothing_kept(run: RunFolder, counts: Counts, tools: Sequence[str]) -> str:
    """A block for each tool of which calls could have been kept by now and none was; empty if there is none.

    `tools` are names as in calls. Also empty where `run.json` does not say by which thresholds calls are judged.
    """
    if not counts.get(SCORE):
        return ""
    lacking = [row for row in tool_yields(counts, tools) if not row.kept]
    return "\n\n".join(_describe(run, counts, row, tool) for row in lacking if (tool := _find(run, row.tool)))


def _find(run: RunFolder, name: str) -> _Tool | None:
    made_with = run.read_json(RUN_FILE)
    known = tools_known_to(made_with)
    keys = {tool.name: key for key, tool in known.items()}
    try:
        key = keys[name]
        return _Tool(name=name, key=key, rule=KeepRule.of_settings(made_with["settings"], key, known[key]))
    except (KeyError, TypeError, UnusableError):
        return None


def _describe(run: RunFolder, counts: Counts, found: ToolYield, tool: _Tool) -> str:
    total = add_up(counts)
    head = f"no call of {tool.name} was kept: "
    if not found.offered:
        return f"{head}it was offered no text, as none holds what it is for; try another corpus or other --tools"
    if not found.places:
        return head + _without_places(total, tool)
    if not found.calls:
        return head + _without_calls(total, found.places, tool)
    if not found.answered:
        statuses = [(name.detail, number) for name, number in sorted(total.items()) if _is_status(name, tool)]
        told = ", ".join(f"{status} {number:,}" for status, number in statuses) or "they were pruned before"
        return f"{head}none of {found.calls:,} calls was answered ({told}); docs/tools.md says how tools are asked"
    rows = _best(run, tool)
    if not rows:
        return head + _without_verdict(total, found.answered, tool)
    return (
        f"{head}of {found.answered:,} answered calls these came closest\n{_table(tool, rows)}\n{_remedy(tool, rows[0])}"
    )


def _without_places(total: Counter[Count], tool: _Tool) -> str:
    known = _dropped(total, "loss_already_low", tool)
    told = f" ({known:,} places were left out since the model knows what follows)" if known else ""
    return (
        f"there was no place where one could start{told}; try a lower --{tool.key}.min-open-probability, "
        f"more --{tool.key}.max-places, or --places all"
    )


def _without_calls(total: Counter[Count], num_places: int, tool: _Tool) -> str:
    malformed, unfinished = (_dropped(total, reason, tool) for reason in ("sample_malformed", "sample_unfinished"))
    return (
        f"at {num_places:,} places the model wrote no call ({malformed:,} samples malformed, {unfinished:,} "
        f"unfinished); try a larger model, more --{tool.key}.num-samples, or --{tool.key}.demonstrations of your own"
    )


def _without_verdict(total: Counter[Count], num_answered: int, tool: _Tool) -> str:
    num_lost = total[Count("lost_at_once", "", tool.name)]
    return (
        f"none of {num_answered:,} answered calls was compared: where {num_lost:,} of them stand the model knows what "
        "follows, and of the others there was nothing to compare with; try other texts, or --filter paper"
    )


def _dropped(total: Counter[Count], reason: str, tool: _Tool) -> int:
    return total[Count("dropped", reason, tool.name)]


def _is_status(name: Count, tool: _Tool) -> bool:
    return name.what == "status" and name.tool == tool.name


def _best(run: RunFolder, tool: _Tool) -> list[_Best]:
    all_names = run.shards(Scored.table)
    names = set(all_names[:: 1 + len(all_names) // MAX_SHARDS_READ])
    connection = duckdb.connect()
    for record in (Scored, Document):
        paths = [path for path in run.paths(record.table) if shard_of(path) in names]
        connection.register(record.table, open_table(run, record, paths))
    least = tool.rule.least_values
    margins = [f"{column} - {value!r}::FLOAT" for column, value in least.items()]
    # `least` leaves NULL out, but a call without one of the values was not judged.
    all_there = " AND ".join(f"{column} IS NOT NULL" for column in least)
    margin = f"CASE WHEN {all_there} THEN least({', '.join(margins)}) END"
    sql = BEST.format(columns=", ".join(least), margin=margin, around=CHARS_AROUND, limit=NUM_BEST)
    try:
        found = connection.execute(sql, [tool.name]).fetchall()
    except (duckdb.Error, pa.ArrowException, OSError):
        return []  # A file is damaged, which `verify` reports, or was deleted meanwhile.
    return [_Best(values=row[:-4], shown=_shown(tool, *row[-4:])) for row in found]


def _shown(tool: _Tool, call_input: str, result: str, before: str, after: str) -> str:
    return " ".join(
        f"… {before}{render_call(tool.name, call_input[:MAX_INPUT_CHARS], result[:MAX_INPUT_CHARS])}{after} …".split()
    )


def _table(tool: _Tool, rows: Sequence[_Best]) -> str:
    least = tool.rule.least_values
    header = [*(f"{column} (needs {value:g})" for column, value in least.items()), "misses", "call in its text"]
    return text_table(header, [[*row.values, _missing(tool, row), row.shown] for row in rows])


def _missing(tool: _Tool, row: _Best) -> str:
    lacking = [
        f"{column} {threshold - value:.3f}"
        for (column, threshold), value in zip(tool.rule.least_values.items(), row.values, strict=True)
        if value < threshold
    ]
    # What reaches all thresholds and is not kept is struck.
    return ", ".join(lacking) or "its input stands only later in the text"


def _remedy(tool: _Tool, best: _Best) -> str:
    criteria = CRITERIA[tool.rule.filter]
    if all(value >= threshold for value, threshold in zip(best.values, tool.rule.least_values.values(), strict=True)):
        return "no threshold changes that; try other texts or more of them"
    reached = math.floor(min(best.values) * 100) / 100
    if reached <= 0:
        return "no result helped the model; try a larger model, other texts, or demonstrations of your own"
    option = f"--{tool.key}.{criteria[0].setting}"
    told = f"the same command with {option} {reached:g} --change-settings keeps the first of them"
    return told if tool.rule.filter == "paper" else f"{told}; the false share then says how many chance would have kept"
