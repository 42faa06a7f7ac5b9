"""A run on a cluster whose nodes come and go; its driver is `python -m tests.support.node_jobs RUN GATES ADDRESS`.

Every worker with the model comes to a gate of its own, first, second and so on, before its first shard, and waits there
until the test lets it through. So the test decides what happens while a shard is in hand.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.gate import Gate
from tests.support.small_jobs import SmallRecipe, make_job
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.run_job import run_job
from toolformer_ray.workflow.shard.reuse import StageOutput
from toolformer_ray.workflow.shard.stage import Needs
from toolformer_ray.workflow.workers import WorkerOptions


@dataclass(frozen=True, kw_only=True)
class NodeRecipe(SmallRecipe):
    """A small recipe with a gate for each worker that holds the model."""

    gates: Sequence[Gate]

    def open(self, needs: Needs) -> Any:
        return _Gated(self) if needs == "model" else self


class _Gated:
    """What a worker with the model has opened."""

    def __init__(self, recipe: NodeRecipe) -> None:
        self._recipe, self._is_new = recipe, True

    def compute(self, stage: str, tables: Sequence[list[Any]], tools: Sequence[str]) -> StageOutput:
        if self._is_new:
            self._is_new = False
            any(gate.pass_through() for gate in self._recipe.gates)
        return self._recipe.compute(stage, tables, tools)


if __name__ == "__main__":
    run, gates, address = sys.argv[1:]
    job = make_job(Path(run), NodeRecipe(gates=[Gate(str(path)) for path in sorted(Path(gates).iterdir())]))
    # As many workers as the nodes have CPUs; a shard that failed once would be given up.
    workers = WorkerOptions(address=address, threads_per_worker=1, max_attempts=1, retry_delay=0.0)
    with Interrupts() as interrupts:
        outcome = run_job(replace(job, workers=workers), interrupts)
        sys.exit(0 if outcome.last.state == "finished" else 1)
