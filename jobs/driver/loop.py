"""The loop that takes shards through the stages until each is done or given up.

How a shard travels: `Driver._take_through` is one coroutine for one shard. For each stage that the shard still needs,
`Attempts.do` makes a `ShardTask` of it and waits in the queue of the pool of workers that the stage needs (later stages
come first, so shards end early); the pool has `ShardActor.work` called, which reads, computes and writes
(`workflow.shard.work`) and answers with the header of what it wrote. Shards at different stages overlap, and proposing
and scoring share the workers that hold the model.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from toolformer_ray.jobs.driver.attempts import Attempts
from toolformer_ray.jobs.driver.cluster import CountPools
from toolformer_ray.jobs.driver.worker_pool import WorkerPool
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.shard.stage import Needs, Stage
from toolformer_ray.workflow.shard.work import Recipe
from toolformer_ray.workflow.workers import WorkerOptions

SECONDS_BETWEEN_COUNTS = 3.0
MAX_SHARDS_UNDER_WAY = 2048
"""More than any cluster has workers; a coroutine takes about 3 KB, and a corpus may have a million shards."""


class Stopped(Exception):  # noqa: N818 - an order that was carried out, not an error
    """The run was asked to stop; what is finished is kept."""


class Driver:
    """Drives one run.

    `count_pools` tells how many workers of each kind there are to be by now; `on_ingested` is called, in a thread, when
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
        self._ledger, self.pipeline = ledger, pipeline
        self._count_pools, self._on_ingested = count_pools, on_ingested
        self.pools = {
            needs: WorkerPool(needs, size, run=run, recipe=recipe, pipeline=pipeline, options=options, fail=self._end)
            for needs, size in count_pools().items()
        }
        self._attempts = Attempts(run, ledger, pipeline, self.pools, options)
        self.is_ingesting = False
        """Whether the corpus may give more shards."""
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._coroutines: set[asyncio.Task[None]] = set()
        self._waiting: deque[str] = deque()
        self._num_under_way = 0

    async def drive(self, *, is_ingesting: bool) -> None:
        """Do all that the ledger has open, and read the corpus too if that is asked for.

        Raises Stopped, UnusableError, or whatever broke a coroutine.
        """
        self.is_ingesting = is_ingesting
        self._start(self._follow_cluster())
        if is_ingesting:
            self._start(self._read_corpus())
        self._waiting.extend(self._ledger.shards)
        self._take_up_shards()
        try:
            await self._ended
        finally:
            for coroutine in self._coroutines:
                coroutine.cancel()
            closing = [pool.close() for pool in self.pools.values()]
            await asyncio.gather(*self._coroutines, *closing, return_exceptions=True)

    def stop(self, reason: Exception | None = None) -> None:
        """Take no more shards and abandon those in hand; `drive` then raises the reason, by default Stopped."""
        self._end(reason or Stopped())

    @property
    def awaited(self) -> list[Needs]:
        """The pools that have something to do and no worker yet that is open."""
        return [needs for needs, pool in self.pools.items() if pool.is_awaited]

    async def news(self) -> Counter[str]:
        """What the model's workers have answered of the shards that they have in hand."""
        return await self.pools["model"].news()

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Shards that a worker has in hand, per stage."""
        return {stage.name: sum(pool.in_hand[stage.name] for pool in self.pools.values()) for stage in self.pipeline}

    async def _read_corpus(self) -> None:
        """Have shards of documents written, one by one. After an error reading begins again, and finds them there."""
        tries = self._attempts.tries()
        while report := await self._attempts.next_shard(tries):
            if report.shard not in self._ledger.documents:
                tries = self._attempts.tries()
                self._ledger.admit(report.shard, report.header)
                self._waiting.append(report.shard)
                self._take_up_shards()
        await asyncio.to_thread(self._on_ingested)
        self.is_ingesting = False
        self._take_up_shards()

    def _take_up_shards(self) -> None:
        """Begin with shards that wait; once all are through and no more come, the run has ended."""
        while self._waiting and self._num_under_way < MAX_SHARDS_UNDER_WAY:
            shard = self._waiting.popleft()
            if stage := self._ledger.next_stage(shard):
                self._num_under_way += 1
                self._start(self._take_through(shard, stage))
        if not self.is_ingesting and self._ledger.num_open == 0:
            self._end()

    async def _take_through(self, shard: str, first: Stage) -> None:
        """Take a shard through all stages that it still needs."""
        stage: Stage | None = first
        while stage:
            if report := await self._attempts.do(shard, stage):
                stage = self._ledger.finish(stage, shard, report.header)
            else:
                self._ledger.give_up(stage, shard)
                break
        self._num_under_way -= 1
        self._take_up_shards()

    async def _follow_cluster(self) -> None:
        """Have the pools grow and shrink with the cluster."""
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_COUNTS)
            for needs, size in (await asyncio.to_thread(self._count_pools)).items():
                self.pools[needs].resize(size)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something beside everything else; its error ends the run."""
        task = asyncio.create_task(coroutine)
        self._coroutines.add(task)
        task.add_done_callback(self._note_end)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._coroutines.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._end(error)

    def _end(self, error: BaseException | None = None) -> None:
        if self._ended.done():
            return
        if error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)
