"""What a run tells Prometheus, through Ray: the counts of `toolformer status`, at the metrics port of its driver's
node.

Ray puts `ray_` before each name and gathers what was recorded every few seconds. Numbers are recorded from a snapshot,
every few seconds too, however many shards came in between: a counter grows by what has come since the last one. They
count the whole run folder, what earlier runs left in it included, as `status` does.

Over Ray Client (`ray://`) the driver has no node whose agent would gather; then an actor in the cluster records.
"""

import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.util import metrics

from toolformer_ray.records.counts import read_counts
from toolformer_ray.workflow.report.progress import Snapshot
from toolformer_ray.workflow.report.yields import add_up, drop_counts

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "toolformer_texts_finished_total": ("Texts that are through all stages.", ()),
    "toolformer_shards_done_total": ("Shards done.", ("stage",)),
    "toolformer_shards_failed_total": ("Shards given up.", ("stage",)),
    "toolformer_attempts_repeated_total": ("Attempts at a shard that failed and were repeated.", ("stage",)),
    "toolformer_calls_total": ("Calls by what came of them.", ("tool", "status")),
    "toolformer_calls_asked_total": ("Calls that a tool was asked for.", ("tool",)),
    "toolformer_tool_seconds_total": ("Seconds that tools took for the calls that they were asked for.", ("tool",)),
    "toolformer_calls_from_cache_total": ("Calls whose answer was known.", ("tool",)),
    "toolformer_calls_kept_total": ("Calls that passed the filter.", ("tool",)),
    "toolformer_dropped_total": ("What left the flow, by reason.", ("stage", "reason", "tool")),
}
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "toolformer_texts": ("Texts that the corpus has given so far.", ()),
    "toolformer_texts_per_second": ("Texts brought to the end per second, since this run began.", ()),
    "toolformer_shards_in_flight": ("Shards that a worker has in hand.", ("stage",)),
    "toolformer_driver_memory_bytes": ("Resident memory of the driver.", ()),
}

Value = tuple[str, tuple[str, ...], float]
"""Name of a metric, the values of its tags in order, the number."""


class RunMetrics:
    """Records snapshots of one run; `run` is the folder's name, the value of a tag that all its metrics have."""

    def __init__(self, run: str) -> None:
        self._metrics: dict[str, Any] = {
            name: kind(name, description=told, tag_keys=("run", *tags)).set_default_tags({"run": run})
            for kind, named in ((metrics.Counter, COUNTERS), (metrics.Gauge, GAUGES))
            for name, (told, tags) in named.items()
        }
        self._recorded: dict[tuple[str, tuple[str, ...]], float] = {}
        # The last snapshot may come while a thread still records the one before.
        self._lock = threading.Lock()

    def record(self, snapshot: Snapshot, driver_bytes: int) -> None:
        """Record where the run stands."""
        with self._lock:
            self._record(snapshot, driver_bytes)

    def _record(self, snapshot: Snapshot, driver_bytes: int) -> None:
        for name, tags, value in _counted(snapshot):
            if (more := value - self._recorded.get((name, tags), 0.0)) > 0:
                self._metrics[name].inc(more, dict(zip(COUNTERS[name][1], tags, strict=True)))
                self._recorded[name, tags] = value
        for name, tags, value in _measured(snapshot, driver_bytes):
            self._metrics[name].set(value, dict(zip(GAUGES[name][1], tags, strict=True)))


def start_metrics(run: str, *, is_client: bool | None = None) -> Callable[[Snapshot], object]:
    """What records a snapshot of a run: in this process, or in an actor where Ray is reached over Ray Client.

    Ray must be there. What is recorded is on its way, no more: a report never holds up a run.
    """
    if is_client is None:
        is_client = ray.util.client.ray.is_connected()
    if is_client:
        # Its handle is all that keeps the actor alive.
        actor: Any = ray.remote(num_cpus=0)(RunMetrics).remote(run)
        return lambda snapshot: actor.record.remote(snapshot, _resident_bytes())
    here = RunMetrics(run)
    return lambda snapshot: here.record(snapshot, _resident_bytes())


def _counted(snapshot: Snapshot) -> Iterator[Value]:
    yield "toolformer_texts_finished_total", (), snapshot.finished_texts
    per_stage = {
        "toolformer_shards_done_total": snapshot.done,
        "toolformer_shards_failed_total": snapshot.failed,
        "toolformer_attempts_repeated_total": snapshot.tried_again,
    }
    for name, numbers in per_stage.items():
        yield from ((name, (stage,), number) for stage, number in numbers.items())
    counts = {stage: read_counts(written) for stage, written in snapshot.counts.items()}
    for count, number in add_up(counts).items():
        match count:
            case "status", status, tool:
                yield "toolformer_calls_total", (tool, status), number
            case "asked" | "from_cache" | "kept" as what, _, tool:
                yield f"toolformer_calls_{what}_total", (tool,), number
            case "microseconds", _, tool:
                yield "toolformer_tool_seconds_total", (tool,), number / 1e6
    for drop in drop_counts(counts):
        yield "toolformer_dropped_total", drop[:3], drop.number


def _measured(snapshot: Snapshot, driver_bytes: int) -> Iterator[Value]:
    yield "toolformer_texts", (), snapshot.texts
    yield "toolformer_texts_per_second", (), snapshot.texts_per_second
    yield "toolformer_driver_memory_bytes", (), driver_bytes
    for stage, number in snapshot.in_flight.items():
        yield "toolformer_shards_in_flight", (stage,), number


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        # Where there is no /proc, the most that it ever was: in bytes on macOS, else in units of 1,024.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
