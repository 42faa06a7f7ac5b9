"""`toolformer status RUN`: shows the status of a run, once or repeatedly until it ends.

It needs only the run folder, so it works on any machine that can read it, with or without a driver.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.report.judgements import precision_table
from toolformer_ray.workflow.report.progress import describe_seconds
from toolformer_ray.workflow.report.status import SECONDS_TO_SILENCE, RunStatus, read_status
from toolformer_ray.workflow.report.tables import (
    describe_broken,
    describe_proposer,
    describe_unanswered,
    drop_table,
    false_share_table,
    pruned_table,
    yield_table,
)
from toolformer_ray.workflow.report.text_table import record_table, text_table
from toolformer_ray.workflow.report.yields import chances, drop_counts, tool_yields

SECONDS_BETWEEN_LOOKS = 5.0


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """How the status of a run is shown."""

    watch: float | bool = False
    """Show it repeatedly until the run ends, every so many seconds (5 if none are given)."""
    json: bool = False
    """Print one JSON object instead, for scripts; with --watch one a line."""

    def __post_init__(self) -> None:
        if self.watch is not False and self.seconds <= 0:
            raise OptionError("watch", self.watch, "it must be more than 0 seconds")

    @property
    def seconds(self) -> float:
        """Seconds between two looks."""
        return SECONDS_BETWEEN_LOOKS if isinstance(self.watch, bool) else self.watch


def show_status(location: str, options: StatusOptions) -> int:
    """Print the status of a run, or watch it. Raises ValueError if there is no run."""
    run = open_run(location)
    if options.watch is not False:
        return watch(run, options)
    status = read_status(run)
    print(json.dumps(to_json(status)) if options.json else describe_status(status))
    for remark in status.remarks:
        print(remark, file=sys.stderr)
    return 0


def watch(
    run: RunFolder,
    options: StatusOptions,
    wait: Callable[[float], object] = time.sleep,
    console: Console | None = None,
) -> int:
    """Show a run until it ends or Ctrl-C is pressed. Returns 0.

    On a terminal the status is redrawn in place; elsewhere it is one line each time, and the whole status at the end.
    """
    console = console or Console()
    try:
        if options.json or not console.is_terminal:
            return _append(run, options, wait)
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as live:
            try:
                while (status := read_status(run, wait)).is_running or status.state == "not begun":
                    live.update(Text(describe_status(status), no_wrap=True, overflow="crop"), refresh=True)
                    wait(options.seconds)
            finally:
                # When it ends, Live draws once more, without cropping to the height of the terminal.
                live.update(Text(""), refresh=True)
        print(describe_status(status))
    except KeyboardInterrupt:
        pass  # Only watching ends; the run goes on.
    return 0


def _append(run: RunFolder, options: StatusOptions, wait: Callable[[float], object]) -> int:
    while (status := read_status(run, wait)).is_running or status.state == "not begun":
        print(json.dumps(to_json(status)) if options.json else describe_state(status), flush=True)
        wait(options.seconds)
    print(json.dumps(to_json(status)) if options.json else describe_status(status), flush=True)
    return 0


def to_json(status: RunStatus) -> dict[str, Any]:
    """The whole status for scripts. Names and units are those of the records."""
    defaults = {"finished_texts": 0, "texts": 0, "texts_per_second": 0.0, "seconds_left": None, "updated": None}
    times = {row.tool: {name: value for name, value in asdict(row).items() if name != "tool"} for row in status.times}
    return {
        "state": status.state,
        **{name: status.progress.get(name, default) for name, default in defaults.items()},
        "stages": [asdict(row) for row in status.stages],
        "tools": [asdict(row) | times.get(row.tool, {}) for row in tool_yields(status.counts, status.tools)],
        "chance": [
            {"tool": tool, **asdict(chance), "false_share": chance.false_share}
            for tool, chance in chances(status.counts, status.tools).items()
        ],
        "proposer": status.proposer or None,
        "judged": [asdict(row) for row in status.judged],
        "dropped": [row._asdict() for row in drop_counts(status.counts)],
        "failures": [asdict(row) for row in status.failures],
        "remarks": list(status.remarks),
    }


def describe_status(status: RunStatus) -> str:
    """The whole status, as tables."""
    tables = [
        describe_state(status),
        describe_proposer(status.proposer, status.counts),
        record_table(status.stages),
        _describe_failures(status),
        yield_table(tool_yields(status.counts, status.tools)),
        record_table(status.times, {"p50": "p50 s", "p95": "p95 s", "p99": "p99 s"}),
        false_share_table(chances(status.counts, status.tools)),
        precision_table(status.judged),
        pruned_table(status.counts, status.tools),
        drop_table(status.counts),
        describe_unanswered(status.counts),
        describe_broken(status.counts),
        status.nothing_kept,
    ]
    return "\n\n".join(filter(None, tables))


def describe_state(status: RunStatus) -> str:
    """One line: state, texts done, speed, time left."""
    progress = status.progress
    if not progress:
        return "not begun"
    state = status.state
    if state == "lost":
        state = "ended without a word (killed?); run the same command again to go on"
    line = f"{state}: {progress['finished_texts']:,} of {progress['texts']:,} texts are through"
    line += f", {progress['texts_per_second']:.1f} texts/s"
    if not status.is_running:
        return line
    if progress["seconds_left"] is not None:
        line += f", {describe_seconds(progress['seconds_left'])} left"
    silence = time.time() - progress["updated"]
    if silence > SECONDS_TO_SILENCE:
        line += f"; its driver has said nothing for {describe_seconds(silence)}"
    return line


def _describe_failures(status: RunStatus) -> str:
    if not status.failures:
        return ""
    table = text_table(
        ["failed at", "shard", "attempts", "error"],
        [[row.stage, row.shard, row.attempts, row.error] for row in status.failures],
    )
    more = status.num_failed - len(status.failures)
    return f"{table}\nand {more:,} more in failed/" if more > 0 else table
