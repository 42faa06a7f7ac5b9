"""How a replica's numbers come to the monitor: soon after they change, together, and before they are looked at."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from toolformer_ray.jobs.decoding.metrics import Numbers, Tally

SECONDS_BETWEEN = 0.5
"""A remote call a request would cost more than what it tells."""


class Monitor(Protocol):
    """The monitor's two methods, as they are called from another process."""

    def report(self, replica: str, numbers: Numbers) -> Awaitable[None]: ...
    def metrics(self) -> Awaitable[str]: ...


class Reporter:
    """To be used in one event loop."""

    def __init__(self, replica: str, tally: Tally, monitor: Monitor) -> None:
        self._replica, self._tally, self._monitor = replica, tally, monitor
        self._is_due = False
        self._running: set[asyncio.Task[None]] = set()

    def changed(self) -> None:
        """Report soon, once for all changes until then."""
        if self._is_due:
            return
        self._is_due = True
        asyncio.get_running_loop().call_later(SECONDS_BETWEEN, self._start)

    async def page(self) -> str:
        """The page of all replicas, with what this one has counted up to now."""
        await self._report()
        return await self._monitor.metrics()

    def _start(self) -> None:
        task = asyncio.get_running_loop().create_task(self._report())
        # The loop itself does not keep tasks alive.
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _report(self) -> None:
        self._is_due = False
        await self._monitor.report(self._replica, dict(self._tally.numbers))
