"""How many shards a worker is handed at once: of quick ones several, so that Ray's price of a call is paid once."""

import asyncio

from toolformer_ray.jobs.driver.actors import SECONDS_PER_CALL
from toolformer_ray.jobs.driver.task import Task
from toolformer_ray.jobs.driver.worker_pool import WorkerPool

MAX_SHARDS_PER_CALL = 64
SECONDS_TO_GATHER = 0.05


class Portions:
    """Knows how long a shard of each stage took the last time."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def note(self, stage: str, seconds: float) -> None:
        """A shard of this stage took so long."""
        self._seconds[stage] = seconds

    async def take(self, pool: WorkerPool) -> list[Task]:
        """The next shard of a pool; several of the same stage if they are quick, but no more than a worker's share."""
        first = await pool.queue.get()
        tasks = [first]
        quick = min(MAX_SHARDS_PER_CALL, int(SECONDS_PER_CALL / self._seconds.get(first.stage.name, SECONDS_PER_CALL)))
        if first.is_suspect or quick <= 1:
            return tasks
        if pool.queue.qsize() < quick:
            # Who is quicker than what comes in can wait a moment, and is handed several at once.
            await asyncio.sleep(SECONDS_TO_GATHER)
        share = -(-(pool.queue.qsize() + 1) // max(1, pool.num_open))
        while len(tasks) < min(quick, share):
            task = pool.queue.get_nowait()
            if (task.stage, task.only_reuse, task.is_suspect) != (first.stage, first.only_reuse, False):
                pool.queue.put_nowait(task)
                break
            tasks.append(task)
        return tasks
