"""A run on a cluster whose nodes come and go; its driver is `python -m tests.support.node_jobs RUN GATES ADDRESS`.

Every worker with the model comes to a gate of its own, first, second and so on, before its first shard, and waits there
until the test lets it through. So the test decides what happens while a shard is in hand.
"""

import os
import select
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.small_jobs import SmallRecipe, make_job
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.run_job import Job, run_job
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.shard.reuse import StageOutput
from toolformer_ray.workflow.shard.stage import Needs
from toolformer_ray.workflow.shard.work import StageWorker
from toolformer_ray.workflow.workers import WorkerOptions


@dataclass(frozen=True)
class Gates:
    """A folder with two named pipes for each worker that is expected."""

    folder: Path

    def build(self, number: int) -> "Gates":
        self.folder.mkdir()
        for gate in range(number):
            os.mkfifo(self.folder / f"reached-{gate}")
            os.mkfifo(self.folder / f"go-{gate}")
        return self

    def wait_for_worker(self, gate: int, seconds: float = 120.0) -> int:
        """Process id of the worker that has come to a gate."""
        pipe = os.open(self.folder / f"reached-{gate}", os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not select.select([pipe], [], [], seconds)[0]:
                raise TimeoutError(f"no worker came to gate {gate}")
            return int(os.read(pipe, 100))
        finally:
            os.close(pipe)

    def let_through(self, gate: int) -> None:
        (self.folder / f"go-{gate}").write_text("go")

    def pass_next(self) -> None:
        """In a worker: come to the first gate that nobody has come to."""
        for gate in range(1000):
            try:
                (self.folder / f"taken-{gate}").touch(exist_ok=False)
            except FileExistsError:
                continue
            if (self.folder / f"reached-{gate}").exists():
                (self.folder / f"reached-{gate}").write_text(str(os.getpid()))
                (self.folder / f"go-{gate}").read_text()
            return


@dataclass(frozen=True, kw_only=True)
class NodeRecipe(SmallRecipe):
    """A small recipe with a gate for each worker that holds the model."""

    gates: Gates

    def open(self, needs: Needs) -> Any:
        return _Gated(self) if needs == "model" else self


class _Gated:
    """What a worker with the model has opened."""

    def __init__(self, recipe: NodeRecipe) -> None:
        self._recipe, self._is_new = recipe, True

    def compute(self, stage: str, tables: Sequence[list[Any]], tools: Sequence[str]) -> StageOutput:
        if self._is_new:
            self._is_new = False
            self._recipe.gates.pass_next()
        return self._recipe.compute(stage, tables, tools)


def run_without_ray(job: Job) -> None:
    """Do every shard at every stage in this process."""
    ledger = Ledger(job.pipeline, job.stage_fingerprints, {}, tool_fingerprints=job.tool_fingerprints)
    worker = StageWorker(job.run, job.recipe, "cpu")
    corpus = worker.read_corpus(job.pipeline[0], ledger.ingest_fingerprint)
    while report := corpus.next_shard():
        stage = ledger.admit(report.shard, report.header)
        while stage:
            made = worker.work(stage, report.shard, ledger.expected(stage, report.shard))
            stage = ledger.finish(stage, report.shard, made.header)


if __name__ == "__main__":
    job = make_job(Path(sys.argv[1]), NodeRecipe(gates=Gates(Path(sys.argv[2]))))
    # As many workers as the nodes have CPUs; a shard that failed once would be given up.
    workers = WorkerOptions(address=sys.argv[3], threads_per_worker=1, max_attempts=1, retry_delay=0.0)
    with Interrupts() as interrupts:
        outcome = run_job(replace(job, workers=workers), interrupts)
        sys.exit(0 if outcome.last.state == "finished" else 1)
