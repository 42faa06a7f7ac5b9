"""The workers of one kind: each is started when it is wanted, replaced when it dies, let go when its node is gone.

A pool has seats, one coroutine each. Whoever sits there takes shards from the pool's queue and has its worker do them;
if the worker dies the next one is started. When nodes join, seats are added; when they leave, those seats end whose
worker waits for room that is no longer there, and a worker that dies is not replaced. No worker that works is taken
from its shard.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray.exceptions import ActorUnavailableError, RayError

from toolformer_ray.jobs.driver.actors import is_node_alive, start_actor
from toolformer_ray.jobs.driver.failures import one_line, raise_if_disk_refuses, raise_if_refused
from toolformer_ray.jobs.driver.task import Task
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.pipeline import Needs
from toolformer_ray.workflow.shard.work import Recipe
from toolformer_ray.workflow.workers import PoolSize, WorkerOptions

MAX_RETRY_DELAY = 60.0
MAX_FAILED_STARTS = 5


@dataclass(frozen=True)
class Worker:
    """An actor that has loaded what it needs."""

    actor: Any
    node_id: str


Serve = Callable[["WorkerPool", Worker], Awaitable[bool]]
"""Has a worker do what is next in the pool's queue; False if the worker may be dead."""


class WorkerPool:
    """One kind of workers and what waits for them. `fail` is told of an error that has to end the run."""

    def __init__(
        self,
        needs: Needs,
        size: PoolSize,
        *,
        run: RunFolder,
        recipe: Recipe,
        options: WorkerOptions,
        serve: Serve,
        fail: Callable[[Exception], None],
    ) -> None:
        self.needs, self.size = needs, size
        self._run, self._recipe, self._options = run, recipe, options
        self._serve, self._fail = serve, fail
        self.queue: asyncio.PriorityQueue[Task] = asyncio.PriorityQueue()
        self.num_open = 0
        """Workers that have loaded what they need."""
        self._num_wanted = 0
        self._num_given_up = 0
        self._seats: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Future[Any]] = set()

    @property
    def is_awaited(self) -> bool:
        """Whether there is something to do and no worker yet that is open."""
        return bool(self._num_wanted) and not self.num_open

    def want(self, num_workers: int) -> None:
        """Have at least so many workers, but no more than the pool's size."""
        self._num_wanted = max(self._num_wanted, num_workers)
        while len(self._seats) < self._num_places:
            seat = asyncio.create_task(self._sit())
            self._seats.add(seat)
            seat.add_done_callback(self._seats.discard)

    def resize(self, size: PoolSize) -> None:
        """The cluster has changed: have other workers join, or stop waiting for room that will not come."""
        if size.num_workers != self.size.num_workers:
            self._num_given_up = 0
        self.size = size
        for seat in [*self._waiting][: max(0, len(self._seats) - self._num_places)]:
            self._seats.discard(seat)
            seat.cancel()
        self.want(0)

    async def close(self) -> None:
        """End all workers, whatever they are at."""
        for seat in self._seats:
            seat.cancel()
        await asyncio.gather(*self._seats, *self._calls, return_exceptions=True)

    async def answer(self, call: Any) -> Any:
        """Wait for a call of a worker. The call itself is never cancelled: it ends when its worker is killed."""
        answer = asyncio.ensure_future(_awaited(call))
        self._calls.add(answer)
        answer.add_done_callback(self._calls.discard)
        return await asyncio.shield(answer)

    @property
    def _num_places(self) -> int:
        return min(self._num_wanted, self.size.num_workers - self._num_given_up)

    async def _sit(self) -> None:
        try:
            while len(self._seats) <= self._num_places:
                async with self._worker() as worker:
                    if worker is None:
                        return
                    self.num_open += 1
                    try:
                        while await self._serve(self, worker):
                            pass
                    finally:
                        self.num_open -= 1
        except Exception as error:  # noqa: BLE001 - handed on to whoever awaits the run
            self._fail(error)

    @contextlib.asynccontextmanager
    async def _worker(self) -> AsyncIterator[Worker | None]:
        """A worker that has loaded what it needs, gone when the block ends, however it ends; None if none starts."""
        actor, node_id = None, ""
        seat = cast("asyncio.Task[None]", asyncio.current_task())
        self._waiting.add(seat)
        try:
            for attempt in range(1, MAX_FAILED_STARTS + 1):
                actor = start_actor(self._run, self._recipe, self.size)
                try:
                    node_id = await self.answer(actor.open.remote(self.needs))
                    break
                except RayError as error:
                    ray.kill(actor)
                    actor = None
                    raise_if_disk_refuses(error, self._run)
                    raise_if_refused(error)
                    if attempt == MAX_FAILED_STARTS:
                        self._go_on_without(seat, error)
                    else:
                        await asyncio.sleep(retry_delay(self._options, attempt))
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
            raise UnusableError(f"no {self.needs} worker can be started: {one_line(error)}") from error
        lost = f"a {self.needs} worker cannot be started ({one_line(error)}); the others go on"
        warn("worker_given_up", lost, needs=self.needs, error=one_line(error))
        self._seats.discard(seat)
        # Those that nobody needed so far may be the only ones left.
        self.want(self.size.num_workers)


def retry_delay(options: WorkerOptions, num_attempts: int) -> float:
    """Seconds to wait after so many attempts."""
    return float(min(MAX_RETRY_DELAY, options.retry_delay * 2 ** (num_attempts - 1)))


async def has_left_cluster(worker: Worker, error: RayError) -> bool:
    """Whether a worker is gone because its node is, or cannot be reached; a shard is not to blame for that."""
    return isinstance(error, ActorUnavailableError) or not await asyncio.to_thread(is_node_alive, worker.node_id)


async def _awaited(call: Any) -> Any:
    # What Ray returns can be awaited but, on a client, is no coroutine.
    return await call
