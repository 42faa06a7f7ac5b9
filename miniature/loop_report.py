"""The table of `make loop`: `python -m toolformer_ray.miniature.loop_report --loop runs/loop`. Writes nothing but to
the screen.

Each model that was asked has left `NAME.parquet`, what it made of every question, with its tools and without, and
`NAME.json` with the perplexity of plain texts.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import duckdb
from rich.console import Console
from rich.table import Table

from toolformer_ray.miniature.texts import TOOL_NAMES

Shares = Mapping[str, float]
"""By tool."""


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class LoopReportOptions:
    """Where the loop's results lie."""

    loop: Path
    """The folder with a Parquet file for each model that was asked."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table."""

    title: str
    name: str
    """Of the model's files."""
    with_tools: bool


LINES = (
    Line(title="before", name="before", with_tools=False),
    Line(title="fine-tuned on C", name="plain", with_tools=False),
    Line(title="fine-tuned on C*, calls disabled", name="tuned", with_tools=False),
    Line(title="fine-tuned on C*, with its tools", name="tuned", with_tools=True),
    Line(title="second round, calls disabled", name="second", with_tools=False),
    Line(title="second round, with its tools", name="second", with_tools=True),
)


def main(options: LoopReportOptions) -> None:
    """Print the table: answers that are right by tool, how often a tool was called, perplexity."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("answers that are right", no_wrap=True)
    for column in (*TOOL_NAMES, "a tool\ncalled", "perplexity,\ncalls disabled"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in LINES:
        results = options.loop / f"{line.name}.parquet"
        if results.exists():
            right, called = shares(results, with_tools=line.with_tools)
            cells = [f"{right[tool]:.0%}" for tool in TOOL_NAMES]
            table.add_row(line.title, *cells, f"{called:.0%}", f"{perplexity(results):.3f}")
    Console(highlight=False, width=120).print(table)


def shares(results: Path, *, with_tools: bool) -> tuple[Shares, float]:
    """Per tool the share of its questions that were answered rightly, and the share of all with an answered call."""
    rows = duckdb.execute(
        "SELECT split_part(about, '=', 2), avg(is_right::INT), sum((num_calls > 0)::INT), count(*) "
        "FROM read_parquet($results) WHERE with_tools = $with_tools GROUP BY about",
        {"results": str(results), "with_tools": with_tools},
    ).fetchall()
    return {tool: right for tool, right, _, _ in rows}, sum(row[2] for row in rows) / sum(row[3] for row in rows)


def perplexity(results: Path) -> float:
    """Of a token of the plain texts."""
    figures = json.loads(results.with_suffix(".json").read_text(encoding="utf-8"))
    return float(figures["wikitext2"]["per_token"])


if __name__ == "__main__":
    cyclopts.run(main)
