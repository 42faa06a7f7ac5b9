"""The driver on a real Ray: every shard is done once, whatever dies, and what cannot be done is put aside."""

import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.gate import Gate
from tests.support.small_jobs import SmallRecipe, make_job, read_rows, run_small_job
from toolformer_ray.jobs.driver.loop import Driver
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.workflow.book.resume import end_ingest, open_ledger
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.outputs import Expected, find_output, find_outputs, write_output
from toolformer_ray.workflow.shard.reuse import UNANSWERED
from toolformer_ray.workflow.verify.files import find_faults

pytestmark = pytest.mark.usefixtures("workers_in_process")


@pytest.fixture
def finished(undisturbed: Path, tmp_path: Path) -> Path:
    """A finished run that a test may change."""
    return shutil.copytree(undisturbed, tmp_path / "finished")


@pytest.fixture(scope="module")
def undisturbed(workers_in_process: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    outcome = run_small_job(folder, SmallRecipe())
    assert outcome.last.state == "finished"
    return folder


def written_at(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in sorted(folder.glob("**/*.parquet"))}


def test_every_text_goes_through_all_stages(undisturbed: Path) -> None:
    rows = read_rows(undisturbed)
    assert [row["doc_id"] for row in rows["documents"]] == [str(number) for number in range(12)]
    assert [row["text"] for row in rows["augmented"]] == ["x* 0", "x* 2", "x* 4", "x* 6", "x* 8", "x* 10"]
    assert [row["text_id"] for row in rows["dropped/propose"]] == ["1-0", "3-0", "5-0", "7-0", "9-0", "11-0"]


def test_two_workers_make_the_same_rows_as_one(workers_in_ray: None, undisturbed: Path, tmp_path: Path) -> None:
    run_small_job(tmp_path, SmallRecipe(), model_workers=2)
    assert read_rows(tmp_path) == read_rows(undisturbed)


def test_a_finished_run_is_not_touched_again(finished: Path) -> None:
    before = written_at(finished)
    outcome = run_small_job(finished, SmallRecipe())
    assert written_at(finished) == before
    assert (outcome.last.state, outcome.last.finished_texts, outcome.ledger.num_new_texts) == ("finished", 12, 0)


def test_only_what_is_missing_or_damaged_is_made_again(undisturbed: Path, finished: Path) -> None:
    before = written_at(finished)
    (finished / "executed/part-00001.parquet").unlink()
    (finished / "scored/part-00002.parquet").write_bytes(b"PAR1")
    (finished / "documents/part-00003.parquet").unlink()
    run_small_job(finished, SmallRecipe())
    after = written_at(finished)
    assert {name for name in after if after[name] != before[name]} == {
        "documents/part-00003.parquet",
        "executed/part-00001.parquet",
        "scored/part-00002.parquet",
    }
    assert read_rows(finished) == read_rows(undisturbed)


def test_rows_without_what_was_dropped_beside_them_are_made_again(undisturbed: Path, finished: Path) -> None:
    before = written_at(finished)
    (finished / "dropped/ingest").mkdir()
    (finished / "dropped/ingest/part-00000.parquet").write_bytes(b"PAR1")
    (finished / "dropped/propose/part-00001.parquet").write_bytes(b"PAR1")
    (finished / "dropped/propose/part-00002.parquet").unlink()
    shutil.copy(finished / "dropped/propose/part-00000.parquet", finished / "dropped/propose/part-00003.parquet")
    run_small_job(finished, SmallRecipe())
    after = written_at(finished)
    assert {name for name in after if after[name] != before[name]} == {
        f"{table}/part-0000{number}.parquet" for number in (1, 2, 3) for table in ("dropped/propose", "candidates")
    }
    assert read_rows(finished) == read_rows(undisturbed)
    assert list(find_faults(RunFolder(str(finished)))) == []


def test_only_a_stage_that_dropped_something_writes_what_it_dropped(undisturbed: Path) -> None:
    assert [path.name for path in (undisturbed / "dropped").iterdir()] == ["propose"]


def test_what_an_earlier_output_dropped_goes_before_rows_of_which_nothing_was_dropped(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, stage = RunFolder(str(finished)), PIPELINE[1]
    drops = finished / "dropped/propose/part-00000.parquet"
    was_there_when_written: list[bool] = []
    write_shard = RunFolder.write_shard

    def watch(*arguments: Any, **named: Any) -> ShardHeader:
        was_there_when_written.append(drops.exists())
        return write_shard(*arguments, **named)

    monkeypatch.setattr(RunFolder, "write_shard", watch)
    write_output(run, stage, "part-00000", [], [], Expected(fingerprint="0"))
    assert was_there_when_written == [False]
    # A driver that was killed in between finds rows whose drops are gone.
    (finished / "dropped/propose/part-00002.parquet").unlink()
    assert set(find_outputs(run, stage).by_shard) == {"part-00000", "part-00001", "part-00003"}
    assert find_output(run, stage, "part-00002") is None


def test_a_shard_that_is_damaged_behind_its_footer_is_named_and_made_again_by_the_same_command(
    undisturbed: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = finished / "executed/part-00001.parquet"
    content = bytearray(damaged.read_bytes())
    content[4:200] = b"\xff" * 196
    damaged.write_bytes(content)
    (finished / "scored/part-00001.parquet").unlink()
    run_small_job(finished, SmallRecipe(), max_attempts=1)
    failure = json.loads((finished / "failed/score/part-00001.json").read_text())
    assert f"{damaged} is damaged: " in failure["error"]
    assert run_small_job(finished, SmallRecipe()).last.state == "finished"
    assert f"{damaged} is damaged: " in capsys.readouterr().err
    assert read_rows(finished) == read_rows(undisturbed)


@pytest.mark.parametrize("gate_at", [("ingest", "part-00002"), ("score", "part-00002")])
def test_a_worker_that_is_killed_is_replaced_and_its_shard_done(
    workers_in_ray: None, gate_at: tuple[str, str], undisturbed: Path, tmp_path: Path
) -> None:
    gate = Gate(str(tmp_path / "gate")).build()
    with ThreadPoolExecutor(1) as thread:
        killed = thread.submit(lambda: os.kill(gate.wait_for_worker(), signal.SIGKILL))
        outcome = run_small_job(tmp_path / "run", SmallRecipe(gate=gate, gate_at=gate_at))
        killed.result()
    assert outcome.last.state == "finished"
    assert read_rows(tmp_path / "run") == read_rows(undisturbed)


def test_a_shard_that_fails_every_time_is_put_aside_and_the_others_are_done(undisturbed: Path, tmp_path: Path) -> None:
    outcome = run_small_job(tmp_path, SmallRecipe(fault=OSError("no such luck")), max_attempts=2)
    assert (outcome.last.state, outcome.last.failed_shards, outcome.last.finished_texts) == ("failed", 1, 9)
    failure = json.loads((tmp_path / "failed/execute/part-00001.json").read_text())
    assert (failure["attempts"], failure["error"]) == (2, "OSError: no such luck")
    assert "small_jobs.py" in failure["traceback"]

    healed = run_small_job(tmp_path, SmallRecipe())
    assert (healed.last.state, healed.ledger.num_new_texts) == ("finished", 3)
    assert not (tmp_path / "failed/execute/part-00001.json").exists()
    assert read_rows(tmp_path) == read_rows(undisturbed)


@pytest.mark.parametrize("status", ["unavailable", "crashed"])
def test_calls_that_were_not_answered_are_asked_again_if_that_is_wanted_and_no_others(
    status: str, tmp_path: Path
) -> None:
    run_small_job(tmp_path, SmallRecipe(unanswered=status))
    before, rows = written_at(tmp_path), read_rows(tmp_path)
    assert [row["result"] for row in rows["executed"]] == ["0", "2", None, "6", "8", "10"]
    run_small_job(tmp_path, SmallRecipe(answers="!"))
    assert written_at(tmp_path) == before
    run_small_job(tmp_path, SmallRecipe(answers="!"), ask_again=UNANSWERED)
    assert [row["result"] for row in read_rows(tmp_path)["scored"]] == ["0", "2", "4!", "6", "8", "10"]
    after = written_at(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {
        "executed/part-00001.parquet",
        "scored/part-00001.parquet",
        "augmented/part-00001.parquet",
    }


def test_a_worker_that_never_starts_leaves_its_work_to_the_others(
    workers_in_ray: None,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gate = Gate(str(tmp_path / "gate")).build()

    def warn_and_open_gate(*told: str, **fields: object) -> None:
        warn(*told, **fields)
        gate.let_through()

    monkeypatch.setattr("toolformer_ray.jobs.driver.worker_pool.warn", warn_and_open_gate)
    monkeypatch.setattr("toolformer_ray.jobs.driver.worker_pool.MAX_FAILED_STARTS", 2)
    recipe = SmallRecipe(gate=gate, gate_at=("propose", "part-00000"), first_to_open=str(tmp_path / "opened"))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(gate.wait_for_worker)
        outcome = run_small_job(tmp_path / "run", recipe, model_workers=2)
    assert outcome.last.state == "finished"
    assert "a model worker cannot be started (RuntimeError: no room on this node); the others go on" in (
        capsys.readouterr().err
    )
    assert read_rows(tmp_path / "run") == read_rows(undisturbed)


def test_the_run_ends_if_no_worker_of_a_kind_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolformer_ray.jobs.driver.worker_pool.MAX_FAILED_STARTS", 1)
    (tmp_path / "opened").touch()
    with pytest.raises(UnusableError, match="no model worker can be started: RuntimeError: no room on this node"):
        run_small_job(tmp_path / "run", SmallRecipe(first_to_open=str(tmp_path / "opened")), model_workers=2)


def test_a_lost_connection_is_not_taken_for_a_fault_of_the_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose_connection(*_: object, **__: object) -> None:
        raise ConnectionError("Client is shutting down")

    monkeypatch.setattr(Driver, "drive", lose_connection)
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}, "Labels": {}}])
    with pytest.raises(UnusableError, match=r"the connection to the Ray cluster at ray://head:1 was lost"):
        run_small_job(tmp_path, SmallRecipe(), address="ray://head:1")


def test_keys_are_left_out_of_what_is_written_about_a_failure(tmp_path: Path) -> None:
    run_small_job(tmp_path, SmallRecipe(fault=OSError("s3://KEY:SECRET@b/x?sas=SECRET broke")), max_attempts=1)
    written = (tmp_path / "failed/execute/part-00001.json").read_text()
    assert "s3://b/x broke" in written and "SECRET" not in written


def test_a_full_disk_ends_the_run_with_one_line_and_keeps_what_is_finished(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(
        UnusableError, match=rf"run is {tmp_path}; it cannot be written to \(.*No space left on device\); make room"
    ):
        run_small_job(tmp_path, SmallRecipe(num_shards=2, fault=full))
    assert json.loads((tmp_path / "progress.json").read_text())["state"] == "failed"
    assert (tmp_path / "documents/part-00000.parquet").exists()


def test_a_corpus_without_a_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="the corpus holds no usable text"):
        run_small_job(tmp_path, SmallRecipe(num_shards=0))


def test_shards_of_an_earlier_and_longer_reading_are_removed(finished: Path) -> None:
    (finished / "ingest.json").unlink()
    run_small_job(finished, SmallRecipe(num_shards=1))
    assert {Path(name).stem for name in written_at(finished)} == {"part-00000"}


def test_what_failed_is_forgotten_with_its_shard_and_once_it_is_done(finished: Path) -> None:
    failures = [finished / f"failed/execute/part-0000{number}.json" for number in (1, 9)]
    failures[0].parent.mkdir(parents=True)
    for path in failures:
        path.write_text("{}")
    run_small_job(finished, SmallRecipe())
    assert [path.exists() for path in failures] == [False, False]


def test_what_failed_is_forgotten_with_its_shard_as_soon_as_the_corpus_was_read(finished: Path) -> None:
    gone, known = (finished / f"failed/execute/part-0000{number}.json" for number in (2, 1))
    gone.parent.mkdir(parents=True)
    for path in (gone, known):
        path.write_text("{}")
    job = make_job(finished, SmallRecipe())
    ledger = open_ledger(job.run, job.pipeline, job.stage_fingerprints)
    for shard in ("part-00000", "part-00001"):
        ledger.admit(shard, ledger.headers["documents"][shard])
    end_ingest(job.run, ledger, job.corpus)
    assert (gone.exists(), known.exists()) == (False, True)
