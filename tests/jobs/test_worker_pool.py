"""Seats of a pool come and go with its size; nobody who works is sent away. The workers are mere lines, without Ray."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError

from toolformer_ray.jobs.driver.worker_pool import WorkerPool
from toolformer_ray.workflow.workers import PoolSize, WorkerOptions

NUM_CALLS = 20
"""That wait for workers; each lasts until its worker is gone."""


class Cluster:
    """Has room for so many workers; the others wait until there is more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.waiting: list[Actor] = []
        self.open: list[Actor] = []
        self.killed: list[Actor] = []

    def start(self, *_: object) -> "Actor":
        actor = Actor(self)
        self.waiting.append(actor)
        return actor

    def kill(self, actor: "Actor") -> None:
        self.killed.append(actor)
        for place in (self.waiting, self.open):
            if actor in place:
                place.remove(actor)


class Actor:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.open = self

    async def remote(self, *_: object) -> str:
        while len(self.cluster.open) >= self.cluster.room:
            await asyncio.sleep(0)
        self.cluster.waiting.remove(self)
        self.cluster.open.append(self)
        return "node"


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def in_pool(
    monkeypatch: pytest.MonkeyPatch,
    cluster: Cluster,
    num_workers: int,
    test: Callable[[WorkerPool], Coroutine[Any, Any, None]],
) -> None:
    monkeypatch.setattr("toolformer_ray.jobs.driver.worker_pool.start_actor", cluster.start)
    monkeypatch.setattr("ray.kill", cluster.kill)

    async def work(actor: Actor) -> None:
        while actor in cluster.open:
            await asyncio.sleep(0)
        raise ActorUnavailableError("gone", None)

    async def run() -> None:
        errors: list[Exception] = []
        size = PoolSize(num_workers=num_workers)
        options = WorkerOptions(retry_delay=0.0)
        pool = WorkerPool("model", size, run=None, recipe=None, pipeline=(), options=options, fail=errors.append)
        calls = [asyncio.create_task(pool.call((0, ""), "score", work)) for _ in range(NUM_CALLS)]
        await test(pool)
        for call in calls:
            call.cancel()
        await pool.close()
        await asyncio.gather(*calls, return_exceptions=True)
        assert errors == []

    asyncio.run(run())


def test_no_more_workers_are_opened_than_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(room=8)

    async def test(pool: WorkerPool) -> None:
        pool.want(2)
        await settle()
        assert len(cluster.open) == 2
        pool.want(5)
        await settle()
        assert len(cluster.open) == 3

    in_pool(monkeypatch, cluster, 3, test)


def test_when_nodes_join_workers_do_too(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(room=8)

    async def test(pool: WorkerPool) -> None:
        pool.want(100)
        await settle()
        pool.resize(PoolSize(num_workers=6))
        await settle()
        assert (len(cluster.open), cluster.killed) == (6, [])

    in_pool(monkeypatch, cluster, 2, test)


def test_when_nodes_leave_nobody_waits_for_them_and_nobody_who_works_is_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(room=2)

    async def test(pool: WorkerPool) -> None:
        pool.want(100)
        await settle()
        working, waiting = [*cluster.open], [*cluster.waiting]
        assert (len(working), len(waiting)) == (2, 3)
        pool.resize(PoolSize(num_workers=1))
        await settle()
        assert (cluster.open, cluster.waiting, set(cluster.killed)) == (working, [], set(waiting))

    in_pool(monkeypatch, cluster, 5, test)


def test_a_worker_that_dies_is_replaced_unless_the_pool_has_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(room=2)

    async def test(pool: WorkerPool) -> None:
        pool.want(2)
        await settle()
        first, second = cluster.open
        cluster.open.remove(first)
        await settle()
        assert second in cluster.open and len(cluster.open) == 2
        pool.resize(PoolSize(num_workers=1))
        cluster.open.remove(second)
        await settle()
        assert len(cluster.open) == 1

    in_pool(monkeypatch, cluster, 2, test)


def test_the_last_worker_is_replaced_however_small_the_pool_has_become(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(room=1)

    async def test(pool: WorkerPool) -> None:
        pool.want(1)
        await settle()
        (only,) = cluster.open
        pool.resize(PoolSize(num_workers=1))
        cluster.open.remove(only)
        await settle()
        assert len(cluster.open) == 1 and only not in cluster.open

    in_pool(monkeypatch, cluster, 3, test)
