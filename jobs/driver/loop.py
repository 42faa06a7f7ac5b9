"""The loop that hands shards to workers until every shard is done or given up.

One pool of workers per need, with a queue each: a worker's coroutine takes a shard from it, awaits the worker, and puts
the shard into the queue of its next stage. Later stages come first, so shards end early, and shards at different stages
overlap. Of quick shards a worker is given several at once, so that Ray's price of a call is paid once for all of them.
A shard whose worker dies or fails is tried again after a while; one that fails too often is put aside.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ray.exceptions import RayError, RayTaskError

from toolformer_ray.jobs.driver.actors import CountPools
from toolformer_ray.jobs.driver.failures import log_fields, one_line, put_aside, raise_if_disk_refuses, raise_if_refused
from toolformer_ray.jobs.driver.isolation import Searches
from toolformer_ray.jobs.driver.portions import Portions
from toolformer_ray.jobs.driver.splitting import NotToBlameError
from toolformer_ray.jobs.driver.task import Task, Trial
from toolformer_ray.jobs.driver.worker_pool import Worker, WorkerPool, has_left_cluster, retry_delay
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.pipeline import Needs, Stage
from toolformer_ray.workflow.shard.work import Recipe, ShardReport
from toolformer_ray.workflow.workers import WorkerOptions

# A shard may be what brings its nodes down.
MAX_LOSSES = 20
SECONDS_BETWEEN_COUNTS = 3.0


class Stopped(Exception):  # noqa: N818 - an order that was carried out, not an error
    """The run was asked to stop; what is finished is kept."""


class Driver:
    """Drives one run.

    `count_pools` says how many workers of each kind there are to be by now; `on_ingested` is called, in a thread, when
    the corpus was read to its end.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        ledger: Ledger,
        pipeline: Sequence[Stage],
        options: WorkerOptions,
        count_pools: CountPools,
        on_ingested: Callable[[], None],
    ) -> None:
        self._run, self._ledger, self._pipeline, self._options = run, ledger, pipeline, options
        self._count_pools, self._on_ingested = count_pools, on_ingested
        self.pools = {
            needs: WorkerPool(needs, size, run=run, recipe=recipe, options=options, serve=self._serve, fail=self._end)
            for needs, size in count_pools().items()
        }
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_ingesting = False
        """Whether the corpus may give more shards."""
        self.in_flight: dict[str, int] = {stage.name: 0 for stage in pipeline}
        """Shards that a worker has in hand, per stage."""
        self.num_attempts: Counter[str] = Counter()
        """How often a shard was tried, per stage, whatever came of it."""
        self._portions = Portions()
        self._searches = Searches(options, put=self._put, settle=self._settle, fail=self._end)

    async def drive(self, *, is_ingesting: bool) -> None:
        """Do all that the ledger has open, and read the corpus too if that is asked for.

        Raises Stopped, UnusableError, or whatever broke a coroutine.
        """
        self.is_ingesting = is_ingesting
        following = asyncio.create_task(self._follow_cluster())
        if is_ingesting:
            self._enqueue("", self._pipeline[0])
        for shard in self._ledger.shards:
            self._enqueue(shard, self._ledger.next_stage(shard))
        try:
            await self._ended
        finally:
            following.cancel()
            closing = [self._searches.close(), *(pool.close() for pool in self.pools.values())]
            await asyncio.gather(following, *closing, return_exceptions=True)

    @property
    def awaited(self) -> list[Needs]:
        """The pools that have something to do and no worker yet that is open."""
        return [needs for needs, pool in self.pools.items() if pool.is_awaited]

    def stop(self, reason: Exception | None = None) -> None:
        """Take no more shards and abandon those in hand; `drive` then raises the reason, by default Stopped."""
        self._end(reason or Stopped())

    def _end(self, error: BaseException | None = None) -> None:
        if self._ended.done():
            return
        if error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _follow_cluster(self) -> None:
        """Have the pools grow and shrink with the cluster."""
        try:
            while True:
                await asyncio.sleep(SECONDS_BETWEEN_COUNTS)
                for needs, size in (await asyncio.to_thread(self._count_pools)).items():
                    self.pools[needs].resize(size)
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the run
            self._end(error)

    def _enqueue(self, shard: str, stage: Stage | None, *, may_reuse: bool = True) -> None:
        if stage:
            only_reuse = may_reuse and stage.needs != "cpu" and self._ledger.may_reuse(stage, shard)
            task = Task(-self._pipeline.index(stage), shard, stage, only_reuse=only_reuse)
            self._put(task)
            self._want_workers(task)
        elif not self.is_ingesting and self._ledger.num_open == 0:
            self._end()

    def _put(self, task: Task) -> None:
        self.pools[task.needs].queue.put_nowait(task)

    def _want_workers(self, task: Task) -> None:
        """Have workers opened for a stage and those after it, no more of a kind than there are shards to do.

        Before the first shard there are none: a run that turns out to be done, or a corpus that cannot be read, loads
        no model; nor does a shard of which all may be there.
        """
        looks_ahead = task.stage.reads and not task.only_reuse
        ahead = self._pipeline[self._pipeline.index(task.stage) :] if looks_ahead else ()
        for needs in {task.needs, *(stage.needs for stage in ahead)}:
            self.pools[needs].want(max(1, self._ledger.num_open))

    async def _serve(self, pool: WorkerPool, worker: Worker) -> bool:
        """Have the next shards done; False if the worker may be dead: only an error from within it shows otherwise."""
        tasks = await self._portions.take(pool)
        name = tasks[0].stage.name
        self.in_flight[name] += len(tasks)
        try:
            await (self._make(tasks, pool, worker) if tasks[0].stage.reads else self._read_on(tasks[0], pool, worker))
        except RayError as error:
            await self._give_back(tasks, error, worker)
            return isinstance(error, RayTaskError)
        finally:
            self.in_flight[name] -= len(tasks)
        return True

    async def _make(self, tasks: Sequence[Task], pool: WorkerPool, worker: Worker) -> None:
        if trial := tasks[0].trial:
            trial.answer.set_result(await pool.answer(self._try(tasks[0], trial, worker)))
            return
        stage, only_reuse = tasks[0].stage, tasks[0].only_reuse
        orders = [(task.shard, self._ledger.expected(stage, task.shard)) for task in tasks]
        started = time.monotonic()
        reports: Sequence[ShardReport | None] = await pool.answer(
            worker.actor.work.remote(
                stage, orders, self._ledger.ask_again, only_reuse=only_reuse, is_suspect=tasks[0].is_suspect
            )
        )
        self._portions.note(stage.name, (time.monotonic() - started) / len(reports))
        self.num_attempts[stage.name] += len(reports)
        for task, report in zip(tasks, reports, strict=False):
            if report is None:
                self._enqueue(task.shard, stage, may_reuse=False)
            else:
                self._enqueue(task.shard, self._ledger.finish(stage, task.shard, report.header))
        for task in tasks[len(reports) :]:
            self._put(task)

    def _try(self, task: Task, trial: Trial, worker: Worker) -> Any:
        order = (task.stage, task.shard, self._ledger.expected(task.stage, task.shard), self._ledger.ask_again)
        return getattr(worker.actor, trial.method).remote(*order, trial.argument)

    async def _read_on(self, task: Task, pool: WorkerPool, worker: Worker) -> None:
        """Have more shards read from the corpus. A worker that is new begins again, and finds its shards there."""
        reports: Sequence[ShardReport]
        reports, may_go_on = await pool.answer(
            worker.actor.next_shards.remote(task.stage, self._ledger.ingest_fingerprint)
        )
        for report in reports:
            self.num_attempts[task.stage.name] += 1
            if report.shard not in self._ledger.documents:
                self._enqueue(report.shard, self._ledger.admit(report.shard, report.header))
        if may_go_on:
            self._enqueue("", task.stage)
        else:
            await asyncio.to_thread(self._on_ingested)
            self.is_ingesting = False
            self._enqueue("", None)

    async def _give_back(self, tasks: Sequence[Task], error: RayError, worker: Worker) -> None:
        """Have shards done again that came to nothing, and count whose fault it may have been."""
        if isinstance(error, RayTaskError):
            # A worker raises only what the first shard has met; it came to no other.
            self.num_attempts[tasks[0].stage.name] += 1
            for task in tasks[1:]:
                self._put(task)
            await self._retry(replace(tasks[0], num_attempts=tasks[0].num_attempts + 1), error)
            return
        self.num_attempts[tasks[0].stage.name] += len(tasks)
        is_lost = len(tasks) > 1 or await has_left_cluster(worker, error)
        for task in tasks:
            if is_lost:
                await self._retry(replace(task, num_losses=task.num_losses + 1), error)
            else:
                await self._retry(replace(task, num_attempts=task.num_attempts + 1), error)

    async def _retry(self, task: Task, error: RayError) -> None:
        raise_if_disk_refuses(error, self._run)
        if not task.stage.reads:
            raise_if_refused(error)
        if task.trial and task.num_attempts:
            task.trial.answer.set_exception(error)
        elif task.num_attempts < self._options.max_attempts and task.num_losses < MAX_LOSSES:
            self._ledger.tried_again[task.stage.name] += 1
            warn("retry", **log_fields(task, error))
            delay = retry_delay(self._options, task.num_attempts + task.num_losses)
            asyncio.get_running_loop().call_later(delay, self._put, task)
        elif task.trial:
            task.trial.answer.set_exception(NotToBlameError("its workers were lost again and again"))
        elif task.only_reuse:
            self._enqueue(task.shard, task.stage, may_reuse=False)
        elif task.stage.reads:
            self._searches.begin(task, error)
        else:
            raise UnusableError(f"the corpus cannot be read: {one_line(error)}") from error

    async def _settle(self, task: Task, error: RayError, outcome: ShardReport | NotToBlameError) -> None:
        """A shard that failed was written without its broken rows, or cannot be and is put aside."""
        if isinstance(outcome, ShardReport):
            self._enqueue(task.shard, self._ledger.finish(task.stage, task.shard, outcome.header))
        else:
            warn("shard_failed", **log_fields(task, error))
            await asyncio.to_thread(put_aside, self._run, task, error, str(outcome))
            self._ledger.give_up(task.stage, task.shard)
            self._enqueue(task.shard, None)
