"""What a worker does of the shards of one call, and what it says of them."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.small_jobs import SmallRecipe, make_job
from toolformer_ray.jobs.driver.actors import ShardActor
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.work import StageWorker

INGEST, PROPOSE, *_ = PIPELINE
FAULT = RuntimeError("no such luck")


class Bench:
    """A worker in this process, and what the driver would ask it to do."""

    def __init__(self, folder: Path, recipe: SmallRecipe) -> None:
        self.job = make_job(folder, recipe)
        self.ledger = Ledger(PIPELINE, self.job.stage_fingerprints, {})
        plain = ShardActor.__ray_metadata__.modified_class
        # Its constructor sets the variables of a process that is its own.
        self.worker = plain.__new__(plain)
        self.worker._run, self.worker._recipe, self.worker._corpus = self.job.run, recipe, None
        self.worker._worker = StageWorker(self.job.run, recipe, "model")

    def read_corpus(self) -> list[str]:
        reports, may_go_on = self.worker.next_shards(INGEST, self.ledger.ingest_fingerprint)
        while may_go_on:
            more, may_go_on = self.worker.next_shards(INGEST, self.ledger.ingest_fingerprint)
            reports += more
        for report in reports:
            self.ledger.admit(report.shard, report.header)
        return [report.shard for report in reports]

    def propose(self, *shards: str, is_suspect: bool = False) -> list[str]:
        orders = [(shard, self.ledger.expected(PROPOSE, shard)) for shard in shards]
        reports = self.worker.work(PROPOSE, orders, (), only_reuse=False, is_suspect=is_suspect)
        return [report.shard for report in reports]


class Failing(SmallRecipe):
    """Fails at the shard that begins with text 6."""

    def compute(self, stage: str, inputs: Any, tools: Any) -> Any:
        if inputs[-1][0].doc_id == "6":
            raise FAULT
        return super().compute(stage, inputs, tools)


def test_quick_shards_are_done_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolformer_ray.jobs.driver.actors.SECONDS_PER_CALL", 1000.0)
    bench = Bench(tmp_path, SmallRecipe())
    shards = bench.read_corpus()
    assert shards == ["part-00000", "part-00001", "part-00002", "part-00003"]
    assert bench.propose(*shards) == shards


def test_a_call_ends_with_the_first_shard_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path, SmallRecipe())
    shards = bench.read_corpus()
    monkeypatch.setattr("toolformer_ray.jobs.driver.actors.SECONDS_PER_CALL", 0.0)
    assert bench.propose(*shards) == shards[:1]


def test_a_shard_that_fails_ends_the_call_and_its_error_comes_only_if_it_is_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolformer_ray.jobs.driver.actors.SECONDS_PER_CALL", 1000.0)
    bench = Bench(tmp_path, Failing())
    shards = bench.read_corpus()
    assert bench.propose(*shards) == shards[:2]
    with pytest.raises(RuntimeError, match="no such luck"):
        bench.propose(*shards[2:])
    assert not (tmp_path / "candidates/part-00003.parquet").exists()


def test_what_a_worker_had_done_before_it_died_is_found_and_not_done_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, SmallRecipe())
    shard, *_ = bench.read_corpus()
    bench.propose(shard)
    written = (tmp_path / f"candidates/{shard}.parquet").stat().st_mtime_ns
    assert bench.propose(shard, is_suspect=True) == [shard]
    assert (tmp_path / f"candidates/{shard}.parquet").stat().st_mtime_ns == written
    bench.propose(shard)
    assert (tmp_path / f"candidates/{shard}.parquet").stat().st_mtime_ns > written
