"""Workers without a process of their own: for tests of what a run does, not of how Ray does it.

A process that holds a model takes six seconds of processor time to import what it needs, a test has that already.
"""

import asyncio
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import RayTaskError

from toolformer_ray.jobs.driver import worker_pool
from toolformer_ray.jobs.driver.worker import ShardActor, start_actor
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.shard.stage import Stage
from toolformer_ray.workflow.shard.work import Recipe
from toolformer_ray.workflow.workers import PoolSize

KILL = ray.kill


class LocalWorker:
    """Answers as the handle of an actor does: `worker.work.remote(task)` can be awaited."""

    def __init__(self, run: RunFolder, recipe: Recipe, pipeline: Sequence[Stage], size: PoolSize) -> None:
        self._server = ShardActor(run, recipe, pipeline, size.num_threads, str(Path.cwd()))

    def __getattr__(self, name: str) -> "Method":
        return Method(getattr(self._server, name))


class Method:
    """A method of the worker, called in a thread; its error comes back as Ray gives it back."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    async def remote(self, *arguments: object) -> Any:
        """What the method returns, as an actor's would: a coroutine, which nobody may cancel in the middle."""
        try:
            return await asyncio.to_thread(self._function, *arguments)
        except Exception as error:
            wrapped = RayTaskError(self._function.__name__, traceback.format_exc(), error)
            raise wrapped.as_instanceof_cause() from error


@pytest.fixture(scope="module")
def workers_in_process(shared_ray: str) -> Iterator[None]:
    """For all tests of a file: the workers of their runs are in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "start_actor", LocalWorker)
        patched.setattr(worker_pool.ray, "kill", lambda _: None)
        yield


@pytest.fixture
def workers_in_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test of such a file: its workers are actors all the same."""
    monkeypatch.setattr(worker_pool, "start_actor", start_actor)
    monkeypatch.setattr(worker_pool.ray, "kill", KILL)
