"""A shard that fails at a stage again and again is split: its broken rows are found, and the others go on.

A worker tries parts of the shard without writing anything; an error and a worker's death count alike. What is found is
left out when the shard is written, and is a row each of `dropped`. Nothing is remembered but that: a run that is killed
meanwhile begins with the shard anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from ray.exceptions import RayError

from toolformer_ray.jobs.driver.failures import may_be_fault_of_rows, told_in_a_line
from toolformer_ray.jobs.driver.splitting import NotToBlameError, find_broken, max_broken
from toolformer_ray.jobs.driver.task import Task, Trial, TrialArgument, TrialMethod
from toolformer_ray.jobs.driver.worker_pool import retry_delay
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.shard.outputs import ShardReport
from toolformer_ray.workflow.workers import WorkerOptions

Put = Callable[[Task], None]
"""Gives a task to the workers."""


class Searches:
    """The shards that are being split. `settle` is told what came of one, `fail` what has to end the run."""

    def __init__(
        self,
        options: WorkerOptions,
        *,
        put: Put,
        settle: Callable[[Task, RayError, ShardReport | NotToBlameError], Awaitable[None]],
        fail: Callable[[Exception], None],
    ) -> None:
        self._put, self._settle, self._fail = put, settle, fail
        # A row is as often tried alone as a shard is, and with as much patience.
        self._pauses = [0.0, *(retry_delay(options, number) for number in range(1, options.max_attempts))]
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, task: Task, error: RayError) -> None:
        """Split a shard that has failed with this error, beside everything else."""
        search = asyncio.create_task(self._search(task, error))
        self._under_way.add(search)
        search.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """End all searches."""
        for search in self._under_way:
            search.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _search(self, task: Task, error: RayError) -> None:
        outcome: ShardReport | NotToBlameError
        try:
            try:
                outcome = await leave_out_broken_rows(task, error, self._put, self._pauses)
            except NotToBlameError as reason:
                outcome = reason
            await self._settle(task, error, outcome)
        except Exception as unforeseen:  # noqa: BLE001 - handed on to whoever awaits the run
            self._fail(unforeseen)


async def leave_out_broken_rows(task: Task, error: RayError, put: Put, pauses: Sequence[float]) -> ShardReport:
    """Find the rows that break a shard, and have the shard written without them, or as it is if none does.

    `error` is what the shard failed with, `put` gives a trial to the workers, `pauses` are the seconds before each try
    of a single row. Raises NotToBlameError if the shard cannot be written by leaving out a few rows.
    """
    if not may_be_fault_of_rows(error):
        raise NotToBlameError("no row is to blame for such an error")
    name, what = f"{task.shard} at {task.stage.name}", {"stage": task.stage.name, "shard": task.shard}
    told = told_in_a_line(error)
    warn("splitting_shard", f"{name} fails ({told}); looking for the rows that break it", **what, error=told)
    try:
        num_rows: int = await _ask(task, "try_rows", (), put)
    except RayError as without:
        raise NotToBlameError(f"it fails without any row too: {told_in_a_line(without)}") from without
    broken: dict[int, str] = {}
    while True:
        found = await find_broken(
            [number for number in range(num_rows) if number not in broken], lambda rows: _probe(task, rows, put), pauses
        )
        broken |= found
        if len(broken) > max_broken(num_rows):
            raise NotToBlameError(f"{len(broken)} of {num_rows} rows fail, so it is not only theirs")
        try:
            report: ShardReport = await _ask(task, "work_without", broken, put)
        except RayError as rest:
            if not found:
                raise NotToBlameError("its rows pass when fewer of them are tried at once") from rest
            continue
        if broken:
            left_out = f"goes on without {len(broken)} of its {num_rows} rows, which are dropped"
            warn("broken_rows", f"{name} {left_out}", **what, rows=len(broken))
        return report


async def _probe(task: Task, rows: Sequence[int], put: Put) -> str | None:
    try:
        await _ask(task, "try_rows", rows, put)
    except RayError as error:
        if not may_be_fault_of_rows(error):
            raise NotToBlameError(f"its parts cannot be tried: {told_in_a_line(error)}") from error
        return told_in_a_line(error)
    return None


async def _ask(task: Task, method: TrialMethod, argument: TrialArgument, put: Put) -> Any:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    put(replace(task, num_attempts=0, num_losses=0, trial=Trial(method=method, argument=argument, answer=answer)))
    return await answer
