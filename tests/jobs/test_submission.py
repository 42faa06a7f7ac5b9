"""`ray job submit` against a real head: there and back, stopped in the middle, submitted again."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.job_submission import JobStatus

from tests.support.calling_model import save_calling_model
from tests.support.real_head import PATIENCE, Head, start_head, wait_until, with_exit_code
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.verify.compare import compare_runs

REPOSITORY = Path(__file__).parents[2]
NOT_CLONED = shutil.ignore_patterns(".git", ".venv", "runs", "build", "*_cache", "__pycache__")
NUM_TEXTS = 16


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    with start_head() as head:
        yield head


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(REPOSITORY, tmp_path_factory.mktemp("fresh") / "clone", ignore=NOT_CLONED)


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The entrypoint of a job, but for `--run`."""
    folder = tmp_path_factory.mktemp("shared")
    texts = [{"text": f"Mill {n} ground {400 + n} sacks and {n} more, {400 + 2 * n} in all."} for n in range(NUM_TEXTS)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    model = save_calling_model(folder / "model")
    return [
        *("python", "-m", "jobs.annotate_corpus", "--corpus", str(folder / "texts.jsonl"), "--model", model),
        *("--tools", "calculator", "--shard-size", "2", "--max-call-tokens", "10", "--calculator.num-samples", "20"),
        *("--calculator.max-places", "8", "--calculator.min-loss-reduction=-1", "--model-workers", "1"),
        *("--log-every", "0.2", "--as-in-paper"),
    ]


@pytest.fixture(scope="module")
def finished(head: Head, clone: Path, command: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nobody disturbed, and the job's log."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    with head.submit(clone, [*command, "--run", str(run)], "--submission-id", "undisturbed") as job:
        assert job.stdout is not None
        told = job.stdout.read()
        assert job.wait(PATIENCE) == 0, told
    return run, head.client.get_job_logs("undisturbed")


def test_a_submitted_job_ends_with_its_tables_and_a_log_that_can_be_read(
    head: Head, finished: tuple[Path, str]
) -> None:
    run, log = finished
    assert head.client.get_job_info("undisturbed").driver_exit_code == 0
    assert len(RunFolder(str(run)).shards("augmented")) == NUM_TEXTS / 2
    lines = log.splitlines()
    assert [line for line in lines if re.fullmatch(rf"\d+ of {NUM_TEXTS} texts; .*now: .*", line)]
    assert lines[-1] == f"{NUM_TEXTS} of {NUM_TEXTS} texts are through, in {run}"
    assert lines[-4].split() == ["tool", "offered", "places", "calls", "answered", "kept", "inserted"]
    assert not set("\x1b\r") & set(log) and "Traceback" not in log


def test_a_job_that_is_stopped_and_submitted_again_makes_the_same_rows_and_none_twice(
    head: Head, clone: Path, command: list[str], finished: tuple[Path, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    entrypoint = [*command, "--run", str(run)]
    patient = json.dumps({"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "60"}})
    options = ("--submission-id", "stopped", "--runtime-env-json", patient)
    with head.submit(clone, with_exit_code(entrypoint), *options) as job:
        wait_until(lambda: list(run.glob("scored/*.parquet")), job)
        assert head.client.stop_job("stopped")
        assert job.wait(PATIENCE) == 0  # for Ray, stopped as it was told to
    log = head.client.get_job_logs("stopped")
    assert head.client.get_job_status("stopped") == JobStatus.STOPPED
    assert "stopped; what is finished is kept: run the same command again to go on" in log
    assert log.splitlines()[-1] == "exit code 143"
    done = {path: path.stat().st_mtime_ns for path in run.glob("[!d]*/*.parquet")}
    assert 0 < len(list(run.glob("scored/*.parquet"))) < NUM_TEXTS / 2

    with head.submit(clone, entrypoint) as again:
        assert again.stdout is not None
        told = again.stdout.read()
        assert again.wait(PATIENCE) == 0, told
    comparison = compare_runs(str(run), str(finished[0]))
    assert comparison.differences == [] and comparison.rows["scored"] > NUM_TEXTS
    assert {path: path.stat().st_mtime_ns for path in done} == done


def test_a_job_that_is_refused_tells_why_and_with_which_exit_code(head: Head, clone: Path, command: list[str]) -> None:
    with head.submit(clone, [*command, "--run", "runs/one"], "--submission-id", "refused") as job:
        assert job.stdout is not None
        told = job.stdout.read()
        assert job.wait(PATIENCE) == 1  # whatever the driver's own
    assert head.client.get_job_info("refused").driver_exit_code == 2
    assert (
        head.client.get_job_logs("refused")
        .splitlines()[-1]
        .startswith("toolformer: --run is runs/one; it is a relative")
    )
    assert "failed with exit code 2" in told
    assert not list(head.folder.glob("**/runs"))
