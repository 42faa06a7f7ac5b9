"""How many calls each tool was asked, and how long it took to answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from toolformer_ray.records.counts import Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Executed
from toolformer_ray.workflow.report.query import open_table
from toolformer_ray.workflow.report.yields import Counts, add_up
from toolformer_ray.workflow.shard.counts import NOT_ASKED

MAX_SHARDS_READ = 100
"""Of a run with more shards, this many are read, evenly spaced, so that a look costs the same at any size."""
SECONDS = """
SELECT tool, quantile_disc(seconds, [0.5, 0.95, 0.99]) FROM executed
WHERE NOT from_cache AND coalesce(note, '') NOT IN (SELECT unnest(?)) GROUP BY tool
"""


@dataclass(frozen=True, kw_only=True)
class ToolTimes:
    """The calls of one tool, and its response times."""

    tool: str
    asked: int
    """Calls for which the tool was asked, whatever the outcome."""
    from_cache: int
    """Calls whose answer was known, from the answer store or from an equal call in the same shard."""
    p50: float | None
    """The median of the seconds that asked calls took; None if none was asked, or if rows cannot be read."""
    p95: float | None
    p99: float | None


def read_times(run: RunFolder, counts: Counts, tools: Sequence[str]) -> list[ToolTimes]:
    """Of each tool that had calls. Percentiles are nearest ranks over the rows of at most MAX_SHARDS_READ shards."""
    total, percentiles = add_up(counts), _read_percentiles(run)
    rows = []
    for tool in tools:
        asked, from_cache = total[Count("asked", tool=tool)], total[Count("from_cache", tool=tool)]
        p50, p95, p99 = percentiles.get(tool, (None, None, None))
        if asked or from_cache:
            rows.append(ToolTimes(tool=tool, asked=asked, from_cache=from_cache, p50=p50, p95=p95, p99=p99))
    return rows


def _read_percentiles(run: RunFolder) -> Mapping[str, Sequence[float]]:
    paths = run.paths(Executed.table)
    connection = duckdb.connect()
    connection.register(Executed.table, open_table(run, Executed, paths[:: 1 + len(paths) // MAX_SHARDS_READ]))
    try:
        return dict(connection.execute(SECONDS, [list(NOT_ASKED)]).fetchall())
    except (duckdb.Error, pa.ArrowException, OSError):
        return {}  # A file is damaged, which `verify` reports, or was deleted meanwhile.
