"""A small process beside the replicas: it says whether any of them can answer, and adds up what they count.

It holds no model, so it is there while replicas load theirs and when all of them are dead. Replicas tell it their
numbers; those of a replica that has died stay, so that no counter goes down.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from toolformer_ray.jobs.decoding.metrics import Numbers, add_up, render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

MONITOR_APP = "toolformer-health"
HEALTH_PATH = "/health"
SECONDS_KNOWN = 0.5
"""For so long one look at the replicas is enough, however many ask."""


class Monitor:
    """One process; Ray Serve calls it for `GET /health`. `app`: the application whose replicas are watched."""

    def __init__(self, app: str) -> None:
        self._app = app
        self._numbers: dict[str, Numbers] = {}
        self._looked_at, self._num_running = -1.0, 0

    async def __call__(self, request: "Request") -> "Response":
        """200 if a replica can answer, else 503."""
        from starlette.responses import JSONResponse

        if request.url.path.rstrip("/") != HEALTH_PATH or request.method not in ("GET", "HEAD"):
            return JSONResponse({"status": "not found"}, status_code=404)
        if time.monotonic() - self._looked_at > SECONDS_KNOWN:
            self._num_running = await asyncio.to_thread(_count_running, self._app)
            self._looked_at = time.monotonic()
        is_up = self._num_running > 0
        body = {"status": "ok" if is_up else "unavailable", "replicas": self._num_running}
        return JSONResponse(body, status_code=200 if is_up else 503)

    def report(self, replica: str, numbers: Numbers) -> None:
        """What a replica has counted since it started."""
        self._numbers[replica] = numbers

    def metrics(self) -> str:
        """The page of all replicas together."""
        return render(add_up(self._numbers.values()))


def _count_running(app: str) -> int:
    from ray import serve as ray_serve

    found = ray_serve.status().applications.get(app)
    states = [deployment.replica_states for deployment in found.deployments.values()] if found else []
    return sum(
        count
        for counts in states
        for state, count in counts.items()
        if str(getattr(state, "value", state)) == "RUNNING"
    )
