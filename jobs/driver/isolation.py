"""A shard that fails at a stage again and again is split: its broken rows are found, and the others go on.

Workers try halves of the rows of the stage's first input (texts, calls), then halves of what fails, and write nothing;
an error and a worker's death count alike. A row that fails by itself, each time, is broken: the shard is written
without it, and it becomes a row of `dropped` with its error. The other rows are those of a run without it. Finding one
among n costs at most 2 log2(n) trials. Nothing is remembered of a search: a driver that is killed begins it anew.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from toolformer_ray.jobs.driver.failures import GivenUpError, describe_briefly
from toolformer_ray.jobs.driver.splitting import NotToBlameError, find_broken, max_broken
from toolformer_ray.jobs.driver.worker import RowTrial, ShardTask
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.shard.outputs import ShardReport

Ask = Callable[[Callable[[Any], Any]], Awaitable[Any]]
"""Has a worker do a call, given as a function of the actor. Raises GivenUpError if it fails."""


async def leave_out_broken_rows(
    task: ShardTask, failed: GivenUpError, ask: Ask, pauses: Sequence[float]
) -> ShardReport:
    """Find the rows that break a shard, and have the shard written without them, or as it is if none does.

    `failed` is what the shard itself ended with; `pauses` are the seconds before each try of a single row. Raises
    NotToBlameError if the shard cannot be written by leaving out a few rows.
    """
    if failed.verdict != "isolate":
        raise NotToBlameError("no row is to blame for such an error")
    name, where = f"{task.shard} at {task.stage}", {"stage": task.stage, "shard": task.shard}
    told = describe_briefly(failed.error)
    warn("splitting_shard", f"{name} fails ({told}); looking for the rows that break it", **where, error=told)
    try:
        num_rows = await _try_rows(task, (), ask)
    except GivenUpError as empty:
        raise NotToBlameError(f"it fails without any row too: {describe_briefly(empty.error)}") from empty
    broken: dict[int, str] = {}
    while True:
        rest = [number for number in range(num_rows) if number not in broken]
        found = await find_broken(rest, lambda rows: _probe(task, rows, ask), pauses)
        broken |= found
        if len(broken) > max_broken(num_rows):
            raise NotToBlameError(f"{len(broken)} of {num_rows} rows fail, so it is not only theirs")
        try:
            report = await _write_without(task, broken, ask)
        except GivenUpError as again:
            if not found:
                raise NotToBlameError("its rows pass when fewer of them are tried at once") from again
            continue
        if broken:
            left_out = f"goes on without {len(broken)} of its {num_rows} rows, which are dropped"
            warn("broken_rows", f"{name} {left_out}", **where, rows=len(broken))
        return report


async def _probe(task: ShardTask, rows: Sequence[int], ask: Ask) -> str | None:
    """What breaks over these rows, in one line; None if nothing does."""
    try:
        await _try_rows(task, rows, ask)
    except GivenUpError as failed:
        told = describe_briefly(failed.error)
        if failed.verdict != "isolate":
            raise NotToBlameError(f"its parts cannot be tried: {told}") from failed
        return told
    return None


async def _try_rows(task: ShardTask, rows: Sequence[int], ask: Ask) -> int:
    return await ask(lambda actor: actor.try_rows.remote(RowTrial(task=task, rows=rows)))


async def _write_without(task: ShardTask, broken: Mapping[int, str], ask: Ask) -> ShardReport:
    return await ask(lambda actor: actor.work.remote(replace(task, broken=broken)))
