"""The status of a run, read from its folder alone: the numbers that `toolformer status` shows.

While a driver is alive, its totals in `progress.json` are used, so a look costs the same at any size. Otherwise the
footers of all shards are read. Rows are only read for how long tools took (`workflow.report.times`).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.annotate.proposer_options import who_proposes
from toolformer_ray.records.counts import ROWS, Count, read_counts
from toolformer_ray.records.run_folder import RUN_FILE, DamagedError, RunFolder, TableHeaders
from toolformer_ray.workflow.book.lease import is_alive, read_lease
from toolformer_ray.workflow.book.settings import read_tool_names
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.judgements import Precision, precisions, read_judgements
from toolformer_ray.workflow.report.nothing_kept import describe_nothing_kept
from toolformer_ray.workflow.report.progress import MAX_FAILURES_NAMED, PROGRESS_FILE, SECONDS_BETWEEN_SAVES
from toolformer_ray.workflow.report.times import ToolTimes, read_times
from toolformer_ray.workflow.report.yields import tools_counted

SECONDS_TO_SILENCE = 12 * SECONDS_BETWEEN_SAVES
"""A driver on another machine that has reported more recently counts as alive."""
SECONDS_TO_LOOK_AGAIN = 10.0
"""How long the lease of such a driver is watched if its last report is older."""
WITH_DRIVER = ("starting", "running")
"""States of a run that a driver is working on."""
NEEDED_OF_PROGRESS = {"state", "updated", "texts", "finished_texts", "texts_per_second", "seconds_left"}


@dataclass(frozen=True, kw_only=True)
class StageStatus:
    """One line of the table of stages."""

    stage: str
    shards_done: int
    running: int
    failed: int
    to_do: int
    tried_again: int
    """Failed attempts that were repeated, in the run that is going on or the last one."""
    rows: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A shard that failed."""

    stage: str
    shard: str
    attempts: int
    error: str
    """Its first line."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    """The status of a run."""

    state: str
    """`starting` (there is no worker yet), `running`, `finished`, `stopped`, `failed`, `not begun`, or `lost`: its
    driver is gone without a final report."""
    progress: Mapping[str, Any]
    """The driver's last report (`workflow.report.progress.Snapshot`); empty if there is none."""
    stages: Sequence[StageStatus]
    counts: Mapping[str, Counter[Count]]
    """Per stage, summed over the shards that are done."""
    tools: Sequence[str]
    """The run's tools, by their names in calls."""
    times: Sequence[ToolTimes]
    """Of the tools that had calls."""
    failures: Sequence[Failure]
    """The first MAX_FAILURES_NAMED of them."""
    nothing_kept: str
    """Why tools have no kept call, and what to try; empty if each has one, and while a driver works on it."""
    remarks: Sequence[str]
    """Problems of the folder, a line each."""
    proposer: str = ""
    """Who proposed, if it was not the model that scored."""
    judged: Sequence[Precision] = ()
    """Of the tools whose calls people judged (`toolformer review`)."""

    @property
    def is_running(self) -> bool:
        """Whether a driver is working on it."""
        return self.state in WITH_DRIVER

    @property
    def num_failed(self) -> int:
        """Shards that failed, at any stage."""
        return sum(row.failed for row in self.stages)


def read_status(run: RunFolder, wait: Callable[[float], object] = time.sleep) -> RunStatus:
    """Read the status. If it has to watch a lease to tell a silent driver from a dead one, it waits by `wait`."""
    progress = _read_progress(run)
    state = progress.get("state", "not begun")
    if state in WITH_DRIVER and not _has_driver(run, progress, wait):
        state = "lost"
    is_reported = state in WITH_DRIVER and "counts" in progress
    totals = _totals_of_driver(progress) if is_reported else _totals_of_footers(run)
    remarks = list(totals.remarks)
    try:
        tools = read_tool_names(run)
    except ValueError as error:
        remarks.append(f"{error}; the tools shown are those that were counted")
        tools = tools_counted(totals.counts)
    try:
        judged = precisions(read_judgements(run))
    except DamagedError as error:
        remarks.append(f"{error}; delete it and review again")
        judged = []
    return RunStatus(
        state=state,
        progress=progress,
        stages=_stage_rows(totals, progress, in_flight=progress.get("in_flight", {}) if state == "running" else {}),
        counts=totals.counts,
        tools=tools,
        times=read_times(run, totals.counts, tools),
        failures=list(_read_failures(run, totals.failures[:MAX_FAILURES_NAMED])),
        nothing_kept="" if state in WITH_DRIVER else describe_nothing_kept(run, totals.counts, tools),
        remarks=remarks,
        proposer=_read_proposer(run),
        judged=judged,
    )


def _read_proposer(run: RunFolder) -> str:
    try:
        made_with = run.read_json(RUN_FILE)
    except ValueError:
        return ""
    settings = made_with.get("settings") if isinstance(made_with, dict) else None
    return who_proposes(settings) if isinstance(settings, dict) else ""


def _read_progress(run: RunFolder) -> Mapping[str, Any]:
    try:
        progress = run.read_json(PROGRESS_FILE)
    except ValueError:
        return {}  # It was cut short; the next report will be complete.
    is_ours = isinstance(progress, dict) and progress.keys() >= NEEDED_OF_PROGRESS
    return progress if is_ours else {}  # Another version wrote it, so only the shards count.


def _has_driver(run: RunFolder, progress: Mapping[str, Any], wait: Callable[[float], object]) -> bool:
    """Whether the driver of a run is alive."""
    # A report of the future shows that the clocks of two machines disagree, so its age says nothing.
    is_recent = 0 <= time.time() - progress["updated"] < SECONDS_TO_SILENCE
    lease = read_lease(run)
    return lease is not None and is_alive(run, lease, wait, patience=SECONDS_TO_LOOK_AGAIN, is_likely=is_recent)


@dataclass(frozen=True, kw_only=True)
class _Totals:
    shards: int
    done: Mapping[str, int]
    failed: Mapping[str, int]
    failures: Sequence[str]
    """`<stage>/<shard>`, at least the first MAX_FAILURES_NAMED."""
    counts: Mapping[str, Counter[Count]]
    remarks: Sequence[str] = ()


def _totals_of_driver(progress: Mapping[str, Any]) -> _Totals:
    """The totals in a driver's report. Shards that failed in an earlier run are not among its failures: it retries
    them."""
    told = {name: progress[name] for name in ("shards", "done", "failed", "failures")}
    counts = {stage.name: read_counts(progress["counts"].get(stage.name, {})) for stage in PIPELINE}
    return _Totals(**told, counts=counts)


def _totals_of_footers(run: RunFolder) -> _Totals:
    """The totals of all footers."""
    headers = {stage.name: run.headers(stage.table) for stage in PIPELINE}
    failed = {stage.name: run.shards(f"failed/{stage.name}", ".json") for stage in PIPELINE}
    damaged = [path for found in headers.values() for path in found.damaged]
    return _Totals(
        shards=len(headers[PIPELINE[0].name].by_shard),
        done={name: len(found.by_shard) for name, found in headers.items()},
        failed={name: len(shards) for name, shards in failed.items()},
        failures=[f"{stage}/{shard}" for stage, shards in failed.items() for shard in shards],
        counts={name: _sum(found) for name, found in headers.items()},
        remarks=[f"{path} is damaged or not a shard of this program; annotate makes it again" for path in damaged],
    )


def _stage_rows(totals: _Totals, progress: Mapping[str, Any], *, in_flight: Mapping[str, int]) -> list[StageStatus]:
    rows, num_lost = [], 0
    for stage in PIPELINE:
        num_done, num_failed = totals.done.get(stage.name, 0), totals.failed.get(stage.name, 0)
        running = in_flight.get(stage.name, 0)
        rows.append(
            StageStatus(
                stage=stage.name,
                shards_done=num_done,
                running=running,
                failed=num_failed,
                # A shard that failed does not reach later stages.
                to_do=max(0, totals.shards - num_lost - num_done - num_failed - running),
                tried_again=progress.get("tried_again", {}).get(stage.name, 0),
                rows=totals.counts[stage.name][ROWS],
            )
        )
        num_lost += num_failed
    return rows


def _read_failures(run: RunFolder, named: Sequence[str]) -> Iterator[Failure]:
    for name in named:
        stage, _, shard = name.partition("/")
        try:
            told = run.read_json(f"failed/{name}.json")
        except ValueError:
            continue
        if isinstance(told, dict):
            lines = str(told.get("error", "")).splitlines()
            yield Failure(stage=stage, shard=shard, attempts=told.get("attempts", 0), error=lines[0] if lines else "")


def _sum(found: TableHeaders) -> Counter[Count]:
    total: Counter[Count] = Counter()
    for header in found.by_shard.values():
        total.update(header.counts)
    return total
