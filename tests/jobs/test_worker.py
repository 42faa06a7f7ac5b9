"""What an actor does when it is asked, on a real Ray: open, read the corpus, do a shard, find one that is done."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from tests.support.gate import Gate
from tests.support.small_jobs import SmallRecipe, make_job
from tests.support.stand_in import STAND_IN_PIPELINE
from toolformer_ray.jobs.driver.run_job import Job
from toolformer_ray.jobs.driver.worker import RemoteShardActor, ShardTask
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Dropped
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.shard.reuse import StageOutput

pytestmark = pytest.mark.usefixtures("shared_ray")
INGEST, PROPOSE, *_ = STAND_IN_PIPELINE


class BreaksOnce(SmallRecipe):
    """Reading the corpus breaks before the second shard, the first time."""

    def ingest(self, readings: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        first, *others = super().ingest(readings)
        yield first
        if not Path("broken").exists():
            Path("broken").touch()
            raise OSError("no such luck")
        yield from others


class Asked:
    """An actor, asked and waited for: `asked.next_shard(…)`."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.actor = RemoteShardActor.remote(job.run, job.recipe, STAND_IN_PIPELINE, 1, str(folder))

    def __getattr__(self, name: str) -> Any:
        return lambda *given: ray.get(getattr(self.actor, name).remote(*given))


def read_first_shard(asked: Asked, job: Job) -> ShardTask:
    """The first shard of documents, as it is to be proposed for."""
    ledger = Ledger(STAND_IN_PIPELINE, job.stage_fingerprints, {})
    report = asked.next_shard(INGEST.name, ledger.ingest_fingerprint)
    ledger.admit(report.shard, report.header)
    return ShardTask(stage=PROPOSE.name, shard=report.shard, expected=ledger.expected(PROPOSE, report.shard))


def test_a_worker_that_does_not_see_the_run_folder_makes_none_of_its_own(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path / "mounted" / "run"))
    actor = RemoteShardActor.remote(run, SmallRecipe(), STAND_IN_PIPELINE, 1, str(tmp_path))
    with pytest.raises(ValueError, match=rf"run is {run.shown}; it does not exist on .*; give a path or URI that all"):
        ray.get(actor.open.remote("cpu"))
    run.create()
    ray.get(actor.open.remote("cpu"))


def test_reading_begins_with_the_first_shard_again_after_an_error(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", BreaksOnce(num_shards=2))
    asked = Asked(job, tmp_path)
    asked.open("cpu")
    assert asked.next_shard(INGEST.name, "0").shard == "part-00000"
    with pytest.raises(OSError, match="no such luck"):
        asked.next_shard(INGEST.name, "0")
    reports = [asked.next_shard(INGEST.name, "0") for _ in range(3)]
    assert [report and report.shard for report in reports] == ["part-00000", "part-00001", None]


def test_what_a_worker_had_done_before_it_died_is_found_and_not_done_again(tmp_path: Path) -> None:
    job = make_job(tmp_path / "run", SmallRecipe())
    asked = Asked(job, tmp_path)
    asked.open("model")
    task = read_first_shard(asked, job)
    path = tmp_path / f"run/candidates/{task.shard}.parquet"

    def written_at(**given: bool) -> int:
        assert asked.work(ShardTask(**vars(task) | given)).shard == task.shard
        return path.stat().st_mtime_ns

    first = written_at()
    assert written_at(may_be_done=True) == first < written_at()


DONE = Counter[str]()
"""In the process of the actor."""


class CountsPrompts(SmallRecipe):
    @property
    def done(self) -> dict[str, int]:
        return dict(DONE)

    def compute(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        DONE["prompts"] += len(inputs[0])
        return super().compute(stage, inputs, tools)


def test_a_worker_tells_what_it_has_done_of_the_shard_that_it_is_at(tmp_path: Path) -> None:
    gate = Gate(str(tmp_path / "gate")).build()
    job = make_job(tmp_path / "run", CountsPrompts(gate=gate, gate_at=("propose", "part-00000")))
    asked = Asked(job, tmp_path)
    asked.open("model")
    task = read_first_shard(asked, job)
    assert asked.news() == {}
    at_work = asked.actor.work.remote(task)
    gate.wait_for_worker()
    assert asked.news() == {"prompts": 3}
    gate.let_through()
    ray.get(at_work)
