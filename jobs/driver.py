"""The loop that hands shards to workers until every shard is done or given up.

One queue per pool of workers, one coroutine per worker: it takes a shard, awaits the worker, and puts the shard into
the queue of its next stage. Later stages come first, so shards end early, and shards at different stages overlap.
A worker that dies is replaced and its shard tried again after a while; a shard that fails too often is put aside.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from jobs.actors import PoolSize, WorkerOptions, start_actor
from jobs.failures import UnusableError, one_line, put_aside, raise_if_disk_refuses, raise_if_refused
from jobs.ledger import Ledger
from jobs.pipeline import Needs, Stage
from jobs.stage_work import Recipe, ShardReport
from jobs.task import Task
from records.run_folder import RunFolder

MAX_RETRY_DELAY = 60.0
MAX_FAILED_STARTS = 5


class Stopped(Exception):  # noqa: N818 - an order that was carried out, not an error
    """The run was asked to stop; what is finished is kept."""


class Driver:
    """Drives one run.

    `sizes` says how many workers of each kind there are to be; `on_ingested` is called, in a thread, when the corpus
    was read to its end.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        ledger: Ledger,
        pipeline: Sequence[Stage],
        options: WorkerOptions,
        sizes: Mapping[Needs, PoolSize],
        on_ingested: Callable[[], None],
    ) -> None:
        self._run, self._recipe, self._ledger = run, recipe, ledger
        self._pipeline, self._options, self._sizes = pipeline, options, sizes
        self._queues: dict[Needs, asyncio.PriorityQueue[Task]] = {
            needs: asyncio.PriorityQueue() for needs in self._sizes
        }
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_ingested = on_ingested
        self.is_ingesting = False
        """Whether the corpus may give more shards."""
        self.in_flight: dict[str, int] = {stage.name: 0 for stage in pipeline}
        """Shards that a worker has in hand, per stage."""
        self._wanted = {needs: [asyncio.Event() for _ in range(size.num_workers)] for needs, size in sizes.items()}
        self._num_open = dict.fromkeys(sizes, 0)
        self._num_given_up = dict.fromkeys(sizes, 0)
        self._calls: set[asyncio.Future[Any]] = set()

    async def drive(self, *, is_ingesting: bool) -> None:
        """Do all that the ledger has open, and read the corpus too if that is asked for.

        Raises Stopped, UnusableError, or whatever broke a coroutine.
        """
        self.is_ingesting = is_ingesting
        work = [self._serve(needs, wanted) for needs, events in self._wanted.items() for wanted in events]
        if is_ingesting:
            self._enqueue("", self._pipeline[0])
        coroutines = [asyncio.create_task(self._guard(coroutine)) for coroutine in work]
        for shard in self._ledger.shards:
            self._enqueue(shard, self._ledger.next_stage(shard))
        try:
            await self._ended
        finally:
            for coroutine in coroutines:
                coroutine.cancel()
            await asyncio.gather(*coroutines, *self._calls, return_exceptions=True)

    @property
    def awaited(self) -> list[Needs]:
        """The pools that have something to do and no worker yet that is open."""
        return [needs for needs, events in self._wanted.items() if events[0].is_set() and not self._num_open[needs]]

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

    async def _guard(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the run
            self._end(error)

    def _enqueue(self, shard: str, stage: Stage | None, *, may_reuse: bool = True) -> None:
        if stage:
            only_reuse = may_reuse and stage.needs != "cpu" and self._ledger.may_reuse(stage, shard)
            task = Task(-self._pipeline.index(stage), shard, stage, only_reuse=only_reuse)
            self._queues[task.needs].put_nowait(task)
            self._want_workers(task)
        elif not self.is_ingesting and self._ledger.num_open == 0:
            self._end()

    def _want_workers(self, task: Task) -> None:
        """Have workers opened for a stage and those after it, no more of a kind than there are shards to do.

        Before the first shard there are none: a run that turns out to be done, or a corpus that cannot be read, loads
        no model; nor does a shard of which all may be there.
        """
        looks_ahead = task.stage.reads and not task.only_reuse
        ahead = self._pipeline[self._pipeline.index(task.stage) :] if looks_ahead else ()
        for needs in dict.fromkeys([task.needs, *(stage.needs for stage in ahead)]):
            for wanted in self._wanted[needs][: max(1, self._ledger.num_open)]:
                wanted.set()

    async def _serve(self, needs: Needs, wanted: asyncio.Event) -> None:
        """One worker of a pool, from when it is wanted, and those that replace it."""
        await wanted.wait()
        while True:
            async with self._worker(needs) as actor:
                if actor is None:
                    return
                self._num_open[needs] += 1
                try:
                    while await self._do(await self._queues[needs].get(), actor):
                        pass
                finally:
                    self._num_open[needs] -= 1

    async def _do(self, task: Task, actor: Any) -> bool:
        """Have one shard done; False if the worker may be dead: only an error from within it shows that it is not."""
        name = task.stage.name
        self.in_flight[name] += 1
        try:
            await (self._make(task, actor) if task.stage.reads else self._read_on(task, actor))
        except RayError as error:
            await self._retry(replace(task, num_attempts=task.num_attempts + 1), error)
            return isinstance(error, RayTaskError)
        finally:
            self.in_flight[name] -= 1
        return True

    async def _make(self, task: Task, actor: Any) -> None:
        expected = self._ledger.expected(task.stage, task.shard)
        call = actor.work.remote(task.stage, task.shard, expected, self._ledger.ask_again, only_reuse=task.only_reuse)
        report: ShardReport | None = await self._answer(call)
        if report is None:
            self._enqueue(task.shard, task.stage, may_reuse=False)
        else:
            self._enqueue(task.shard, self._ledger.finish(task.stage, task.shard, report.header))

    async def _read_on(self, task: Task, actor: Any) -> None:
        """Have one more shard read from the corpus. A worker that is new begins again, and finds its shards there."""
        report: ShardReport | None = await self._answer(
            actor.next_shard.remote(task.stage, self._ledger.ingest_fingerprint)
        )
        if report is None:
            await asyncio.to_thread(self._on_ingested)
            self.is_ingesting = False
            self._enqueue("", None)
            return
        if report.shard not in self._ledger.documents:
            self._enqueue(report.shard, self._ledger.admit(report.shard, report.header))
        self._enqueue("", task.stage)

    async def _retry(self, task: Task, error: RayError) -> None:
        raise_if_disk_refuses(error, self._run)
        if not task.stage.reads:
            raise_if_refused(error)
        if task.num_attempts < self._options.max_attempts:
            self._ledger.tried_again[task.stage.name] += 1
            loop, queue = asyncio.get_running_loop(), self._queues[task.needs]
            loop.call_later(self._delay(task.num_attempts), queue.put_nowait, task)
        elif task.stage.reads:
            await asyncio.to_thread(put_aside, self._run, task, error)
            self._ledger.give_up(task.stage, task.shard)
            self._enqueue(task.shard, None)
        else:
            raise UnusableError(f"the corpus cannot be read: {one_line(error)}") from error

    @contextlib.asynccontextmanager
    async def _worker(self, needs: Needs) -> AsyncIterator[Any]:
        """A worker that has loaded what it needs, gone when the block ends, however it ends; None if none starts."""
        actor = None
        try:
            for attempt in range(1, MAX_FAILED_STARTS + 1):
                actor = start_actor(self._run, self._recipe, self._sizes[needs])
                try:
                    await self._answer(actor.open.remote(needs))
                    break
                except RayError as error:
                    ray.kill(actor)
                    actor = None
                    raise_if_disk_refuses(error, self._run)
                    raise_if_refused(error)
                    if attempt == MAX_FAILED_STARTS:
                        self._go_on_without(needs, error)
                    else:
                        await asyncio.sleep(self._delay(attempt))
            yield actor
        finally:
            if actor:
                ray.kill(actor)

    def _go_on_without(self, needs: Needs, error: RayError) -> None:
        """One worker less: the others do its work. Raises UnusableError if it was the last of its pool."""
        self._num_given_up[needs] += 1
        if self._num_given_up[needs] == self._sizes[needs].num_workers:
            raise UnusableError(f"no {needs} worker can be started: {one_line(error)}") from error
        print(f"a {needs} worker cannot be started ({one_line(error)}); the others go on", file=sys.stderr)
        # Those that nobody needed so far may be the only ones left.
        for wanted in self._wanted[needs]:
            wanted.set()

    async def _answer(self, call: Any) -> Any:
        """Wait for a call of a worker. The call itself is never cancelled: it ends when its worker is killed."""
        answer = asyncio.ensure_future(_awaited(call))
        self._calls.add(answer)
        answer.add_done_callback(self._calls.discard)
        return await asyncio.shield(answer)

    def _delay(self, num_attempts: int) -> float:
        return float(min(MAX_RETRY_DELAY, self._options.retry_delay * 2 ** (num_attempts - 1)))


async def _awaited(call: Any) -> Any:
    # What Ray returns can be awaited but, on a client, is no coroutine.
    return await call
