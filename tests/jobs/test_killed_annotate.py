"""`toolformer annotate` on a real Ray, spread and killed: the rows are those of a run left alone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.calling_run import arguments, assert_same_rows
from tests.support.s3_server import S3Server
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(shared_ray: str, corpus: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(arguments(run, corpus, model)) == 0
    return run


@contextmanager
def driver_in_mid_run(
    folder: RunFolder, command: list[str], variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """A driver that has calls of the first shard and none of C* for the last one; it is killed in the end."""
    command = [sys.executable, "-m", "jobs.annotate_corpus", *command[1:], "--log-every", "0.1"]
    told = os.environ | variables
    with subprocess.Popen(command, cwd=REPOSITORY, env=told, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for _ in process.stderr:
            if folder.shards("candidates"):
                break
        process.send_signal(signal.SIGSTOP)
        assert len(folder.shards("augmented")) < 3
        yield process
        process.kill()


def test_shards_workers_and_batches_change_no_row(finished: Path, corpus: Path, model: str, tmp_path: Path) -> None:
    spread = ("--token-budget", "300", "--threads-per-worker", "1")
    assert main(arguments(tmp_path / "run", corpus, model, *spread, shard_size=7, model_workers=2)) == 0
    assert_same_rows(finished, tmp_path / "run")


def test_a_driver_that_is_killed_and_run_again_makes_the_same_rows(
    shared_ray: str, finished: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    again = arguments(run, corpus, model)
    with driver_in_mid_run(RunFolder(str(run)), again, {"RAY_ADDRESS": shared_ray}):
        pass
    assert main(again) == 0
    assert_same_rows(finished, run)


def test_a_run_in_a_bucket_that_is_killed_and_run_again_makes_the_same_rows(
    finished: Path, corpus: Path, model: str, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3.make_bucket("killed-run")
    here = arguments(f"s3://{bucket}/run", corpus, model, "--record", f"s3://{bucket}/answers")
    again = arguments(s3.uri(bucket), corpus, model, "--record", s3.uri(bucket, "answers"))
    # On a Ray of its own, whose workers have the variables too.
    with driver_in_mid_run(RunFolder(s3.uri(bucket)), here, s3.environment()) as process:
        assert main(again) == 2
        assert f"another driver (process {process.pid} on" in capsys.readouterr().err
    assert main(again) == 0
    assert_same_rows(finished, s3.uri(bucket))
    assert main(["verify", s3.uri(bucket)]) == 0
    assert "SECRET" not in "".join(capsys.readouterr()) + json.dumps(RunFolder(s3.uri(bucket)).read_json("run.json"))
