"""The workers of one kind: each is started when it is wanted, replaced when it dies, let go when its node is gone.

A pool has seats, one coroutine each. A seat starts a worker, takes calls from the pool's queue and has its worker do
them, one at a time; if the worker dies it starts the next one. When nodes join, seats are added; when nodes leave,
those seats end whose worker still waits for room, and a worker that dies is not replaced. No worker is taken from a
shard that it works on. A worker that cannot be started MAX_FAILED_STARTS times in a row is done without, as long as
the pool has another.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from toolformer_ray.jobs.driver.cluster import is_node_alive
from toolformer_ray.jobs.driver.failures import NodeLostError, describe, unusable, what_happened
from toolformer_ray.jobs.driver.retry import Tries
from toolformer_ray.jobs.driver.worker import start_actor
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.shard.stage import Needs, Stage
from toolformer_ray.workflow.shard.work import Recipe
from toolformer_ray.workflow.workers import PoolSize, WorkerOptions

MAX_FAILED_STARTS = 5
SECONDS_FOR_NEWS = 2.0


@dataclass(frozen=True)
class Worker:
    """An actor that has loaded what it needs."""

    actor: Any
    node_id: str


@dataclass(order=True, frozen=True)
class Call:
    """Something that waits for a worker."""

    rank: tuple[int, str]
    """The smallest goes first."""
    number: int
    """Tells apart calls of the same rank."""
    stage: str = field(compare=False)
    ask: Callable[[Any], Any] = field(compare=False)
    """Calls a method of the actor that it is given; returns what Ray returns."""
    answer: asyncio.Future[Any] = field(compare=False)
    """Resolved with the actor's result or error."""


class WorkerPool:
    """One kind of workers and what waits for them. `fail` is told of an error that has to end the run."""

    def __init__(
        self,
        needs: Needs,
        size: PoolSize,
        *,
        run: RunFolder,
        recipe: Recipe,
        pipeline: Sequence[Stage],
        options: WorkerOptions,
        fail: Callable[[Exception], None],
    ) -> None:
        self.needs, self.size = needs, size
        self._run, self._recipe, self._pipeline = run, recipe, pipeline
        self._options, self._fail = options, fail
        self._queue: asyncio.PriorityQueue[Call] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self.in_hand: Counter[str] = Counter()
        """Calls that a worker has in hand, per stage."""
        self._open: set[Worker] = set()
        self._num_wanted = 0
        self._num_given_up = 0
        self._seats: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._results: set[asyncio.Future[Any]] = set()

    async def call(self, rank: tuple[int, str], stage: str, ask: Callable[[Any], Any]) -> Any:
        """Have a worker do something: the smallest rank first, then whoever came first.

        Raises RayTaskError for an error in the worker, NodeLostError or another RayError if the worker is gone.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Call(rank, next(self._numbers), stage, ask, answer))
        return await answer

    @property
    def is_awaited(self) -> bool:
        """Whether there is something to do and no worker yet that is open."""
        return bool(self._num_wanted) and not self._open

    async def news(self) -> Counter[str]:
        """What was answered so far of the shards that are in hand; workers that do not say so soon are left out."""
        asked = [asyncio.wait_for(self._result(worker.actor.news.remote()), SECONDS_FOR_NEWS) for worker in self._open]
        told = await asyncio.gather(*asked, return_exceptions=True)
        return sum((Counter(news) for news in told if isinstance(news, dict)), Counter())

    def want(self, num_workers: int) -> None:
        """Have at least so many workers, but no more than the pool's size."""
        self._num_wanted = max(self._num_wanted, num_workers)
        while len(self._seats) < self._num_places:
            seat = asyncio.create_task(self._sit())
            self._seats.add(seat)
            seat.add_done_callback(self._seats.discard)

    def resize(self, size: PoolSize) -> None:
        """The cluster has changed: add workers, or stop waiting for room that will not come."""
        if size.num_workers != self.size.num_workers:
            self._num_given_up = 0
        self.size = size
        for seat in [*self._waiting][: max(0, len(self._seats) - self._num_places)]:
            self._seats.discard(seat)
            seat.cancel()
        self.want(0)

    async def close(self) -> None:
        """End all workers, whatever they are doing."""
        for seat in self._seats:
            seat.cancel()
        await asyncio.gather(*self._seats, *self._results, return_exceptions=True)

    @property
    def _num_places(self) -> int:
        return min(self._num_wanted, self.size.num_workers - self._num_given_up)

    async def _sit(self) -> None:
        try:
            while len(self._seats) <= self._num_places:
                async with self._worker() as worker:
                    if worker is None:
                        return
                    self._open.add(worker)
                    try:
                        while await self._serve(worker):
                            pass
                    finally:
                        self._open.discard(worker)
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the run
            self._fail(error)

    async def _serve(self, worker: Worker) -> bool:
        """Have the next call done; False if the worker may be dead: only an error from within shows that it lives."""
        call = await self._queue.get()
        self.in_hand[call.stage] += 1
        try:
            call.answer.set_result(await self._result(call.ask(worker.actor)))
        except RayTaskError as error:
            call.answer.set_exception(error)
        except RayError as error:
            call.answer.set_exception(NodeLostError(error) if await _has_left_cluster(worker, error) else error)
            return False
        finally:
            self.in_hand[call.stage] -= 1
        return True

    @contextlib.asynccontextmanager
    async def _worker(self) -> AsyncIterator[Worker | None]:
        """A worker that has loaded what it needs, killed when the block ends, however it ends; None if none starts."""
        actor, node_id = None, ""
        seat = cast("asyncio.Task[None]", asyncio.current_task())
        tries = Tries(MAX_FAILED_STARTS, self._options.retry_delay)
        self._waiting.add(seat)
        try:
            while actor is None:
                actor = start_actor(self._run, self._recipe, self._pipeline, self.size)
                try:
                    node_id = await self._result(actor.open.remote(self.needs))
                except RayError as error:
                    ray.kill(actor)
                    actor = None
                    verdict = tries.count(what_happened(error, is_users=True))
                    if verdict == "end_run":
                        raise unusable(error, self._run) from error
                    if verdict != "retry":
                        self._go_on_without(seat, error)
                        break
                    await asyncio.sleep(tries.delay)
            self._waiting.discard(seat)
            yield Worker(actor, node_id) if actor else None
        finally:
            self._waiting.discard(seat)
            if actor:
                ray.kill(actor)

    def _go_on_without(self, seat: "asyncio.Task[None]", error: RayError) -> None:
        """One worker less: the others do its work. Raises UnusableError if it was the last of its pool."""
        self._num_given_up += 1
        if self._num_given_up >= self.size.num_workers:
            raise UnusableError(f"no {self.needs} worker can be started: {describe(error)}") from error
        lost = f"a {self.needs} worker cannot be started ({describe(error)}); the others go on"
        warn("worker_given_up", lost, needs=self.needs, error=describe(error))
        self._seats.discard(seat)
        # Workers that nobody needed so far may be the only ones left.
        self.want(self.size.num_workers)

    async def _result(self, reference: Any) -> Any:
        """Wait for a call of an actor. The call itself is never cancelled: it ends when its actor is killed."""
        result = asyncio.ensure_future(_awaited(reference))
        self._results.add(result)
        result.add_done_callback(self._results.discard)
        return await asyncio.shield(result)


async def _has_left_cluster(worker: Worker, error: RayError) -> bool:
    """Whether a worker is gone because its node is, or cannot be reached; a shard is not to blame for that."""
    return isinstance(error, ActorUnavailableError) or not await asyncio.to_thread(is_node_alive, worker.node_id)


async def _awaited(reference: Any) -> Any:
    # What Ray returns can be awaited but, over Ray Client, is no coroutine.
    return await reference
