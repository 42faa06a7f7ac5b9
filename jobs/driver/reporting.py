"""What a driver tells while it works: the line of progress, `progress.json`, Prometheus, and what it still waits for.

A report never holds up or ends a run, with one exception: once another driver has taken over the run folder, this one
has to stop.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

from toolformer_ray.jobs.driver.loop import Driver
from toolformer_ray.jobs.driver.metrics import start_metrics
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.log import ProgressOptions, warn
from toolformer_ray.workflow.report.kept_calls import KeptCalls
from toolformer_ray.workflow.report.progress import (
    PROGRESS_FILE,
    SECONDS_BETWEEN_REDRAWS,
    SECONDS_BETWEEN_SAVES,
    ProgressLine,
    Snapshot,
    take_snapshot,
)

SECONDS_BETWEEN_NEWS = 3.0
MAX_CALLS_SHOWN = 8
SECONDS_OF_PATIENCE = 60.0
"""How long a run waits for its first workers before it says so."""


class Reporter:
    """Reports on one driver. `taken_by` tells who has taken over the run folder, if anybody has."""

    def __init__(
        self,
        run: RunFolder,
        ledger: Ledger,
        driver: Driver,
        options: ProgressOptions,
        tools: Sequence[str],
        taken_by: Callable[[], object],
        worked_before: float,
    ) -> None:
        self._run, self._ledger, self._driver = run, ledger, driver
        self._options, self._tools, self._taken_by = options, tools, taken_by
        self._record = start_metrics(run.shown)
        self._began = self._working_since = time.monotonic()
        self._worked_before = worked_before
        self._in_hand: Counter[str] = Counter()
        self._kept = KeptCalls(run, driver.pipeline[-1], 0 if options.quiet else MAX_CALLS_SHOWN)

    async def report(self) -> None:
        """Report every half second until it is cancelled."""
        line = ProgressLine(self._options)
        started = next_save = next_news = time.monotonic()
        is_patient = True
        try:
            while True:
                now = time.monotonic()
                if now >= next_news:
                    next_news = now + SECONDS_BETWEEN_NEWS
                    self._in_hand = await self._driver.news()
                    for call in await asyncio.to_thread(self._kept.found, self._ledger.done):
                        line.tell(call)
                snapshot = self._look()
                line.show(snapshot)
                if successor := self._taken_by():
                    taken = f"another driver ({successor}) has taken over {self._run.shown}"
                    self._driver.stop(UnusableError(taken))
                if now >= next_save:
                    next_save = now + SECONDS_BETWEEN_SAVES
                    await asyncio.to_thread(self._publish, snapshot)
                if is_patient and now - started > SECONDS_OF_PATIENCE:
                    is_patient = False
                    self._tell_what_is_missing()
                await asyncio.sleep(min(SECONDS_BETWEEN_REDRAWS, self._options.log_every))
        finally:
            line.close()
            # Not in a thread: whoever cancels this waits for it, and Ray is there as long.
            self._record(self._look())

    def _look(self) -> Snapshot:
        now, ledger = time.monotonic(), self._ledger
        if not ledger.num_new_texts and (not ledger.num_texts or self._driver.awaited):
            # How long a model takes to load says nothing about how long the texts will take.
            self._working_since = now
        return take_snapshot(
            ledger,
            state="running",
            seconds=now - self._working_since,
            seconds_worked=self._worked_before + now - self._began,
            tools=self._tools,
            in_flight=self._driver.in_flight,
            opening=self._driver.awaited,
            is_ingesting=self._driver.is_ingesting,
            in_hand=self._in_hand,
        )

    def _publish(self, snapshot: Snapshot) -> None:
        # Whoever writes shards finds out whether the disk is full.
        with contextlib.suppress(OSError):
            self._run.write_json(PROGRESS_FILE, asdict(snapshot))
        self._record(snapshot)

    def _tell_what_is_missing(self) -> None:
        for needs in self._driver.awaited:
            size = self._driver.pools[needs].size
            warn(
                "waiting_for_workers",
                f"still waiting for the first {needs} worker, which asks the cluster for {size.num_cpus:g} CPUs and "
                f"{size.num_gpus:g} GPUs",
                needs=needs,
            )
