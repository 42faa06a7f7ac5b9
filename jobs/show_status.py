"""`toolformer status RUN`: how far a run is, from its folder alone, while it works or long after.

Shards and yield come from the footers of the shards, speed and time left from the `progress.json` of the driver.
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jobs.pipeline import PIPELINE
from jobs.progress import PROGRESS_FILE, SECONDS_BETWEEN_SAVES, describe_seconds
from jobs.settings import RUN_FILE, read_tool_names
from jobs.summary import (
    describe_unanswered,
    drop_table,
    pruned_table,
    screen_table,
    screen_yields,
    text_table,
    tool_yields,
    tools_counted,
    yield_table,
)
from records.locations import without_keys
from records.run_folder import RunFolder, TableHeaders

# A driver that has not written for this long is dead.
SECONDS_TO_SILENCE = 12 * SECONDS_BETWEEN_SAVES


def show_status(location: str) -> int:
    """Print the state of a run. Raises ValueError if there is no run."""
    run = open_run(location)
    progress = run.read_json(PROGRESS_FILE) or {}
    headers = {stage.name: run.headers(stage.writes) for stage in PIPELINE}
    counts = {name: _sum(found) for name, found in headers.items()}
    try:
        tools = read_tool_names(run)
    except ValueError as error:
        print(f"{error}; the tools shown are those that were counted", file=sys.stderr)
        tools = tools_counted(counts)
    tables = [
        _stage_table(run, headers, counts, progress),
        yield_table(tool_yields(counts, tools)),
        screen_table(screen_yields(counts, tools)),
        pruned_table(counts, tools),
        drop_table(counts),
        describe_unanswered(counts),
    ]
    print("\n\n".join([_describe_state(progress), *filter(None, tables)]))
    for path in (path for found in headers.values() for path in found.damaged):
        print(f"{path} is damaged or not a shard of this program; annotate makes it again", file=sys.stderr)
    return 0


def open_run(location: str) -> RunFolder:
    """The run folder of a run that was begun. Raises ValueError if there is none."""
    run = RunFolder(location)
    if not isinstance(run.read_json(RUN_FILE), dict):
        raise ValueError(
            f"no run folder in {without_keys(location)}: it has no {RUN_FILE}; `toolformer annotate --run` makes one"
        )
    return run


def _stage_table(
    run: RunFolder,
    headers: Mapping[str, TableHeaders],
    counts: Mapping[str, Counter[str]],
    progress: Mapping[str, Any],
) -> str:
    num_shards = len(headers[PIPELINE[0].name].by_shard)
    in_flight = progress["in_flight"] if _is_alive(progress) else {}
    rows = []
    for stage in PIPELINE:
        num_done = len(headers[stage.name].by_shard)
        num_failed = len(run.shards(f"failed/{stage.name}", ".json"))
        num_running = in_flight.get(stage.name, 0)
        num_open = max(0, num_shards - num_done - num_failed - num_running)
        rows.append([stage.name, num_done, num_running, num_failed, num_open, counts[stage.name]["rows"]])
    return text_table(["stage", "shards done", "running", "failed", "to do", "rows"], rows)


def _describe_state(progress: Mapping[str, Any]) -> str:
    if not progress:
        return "not begun"
    state = progress["state"]
    if state == "running" and not _is_alive(progress):
        state = "ended without a word (killed?); run the same command again to go on"
    line = f"{state}: {progress['finished_texts']:,} of {progress['texts']:,} texts are through"
    line += f", {progress['texts_per_second']:.1f} texts/s"
    if state == "running" and progress["seconds_left"] is not None:
        line += f", {describe_seconds(progress['seconds_left'])} left"
    return line


def _is_alive(progress: Mapping[str, Any]) -> bool:
    return progress.get("state") == "running" and time.time() - progress["updated"] < SECONDS_TO_SILENCE


def _sum(found: TableHeaders) -> Counter[str]:
    total: Counter[str] = Counter()
    for header in found.by_shard.values():
        total.update(header.counts)
    return total
