"""Where `finetune` and `export` do not write: into buckets, and into the folder of a submitted job."""

import json
from pathlib import Path

import pytest

from tests.support.many_texts import write_texts
from toolformer_ray.jobs.cli.main import main

SUM = ("Calculator", "2 + 3", "5", 2.0)
COMMANDS = {"finetune": ("--model", "none"), "export": ()}


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a run folder in it."""
    monkeypatch.chdir(tmp_path)
    write_texts("annotated", {"a": [SUM]})
    return tmp_path


@pytest.fixture
def submitted(sent: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process is the driver of a job, in the directory that was sent along."""
    told = json.dumps({"runtime_env": {}, "metadata": {"job_submission_id": "one"}})
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", told)
    return sent


def refuse(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> str:
    assert main([command, *COMMANDS[command], *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bucket_is_not_taken_for_a_folder(command: str, sent: Path, capsys) -> None:
    line = refuse(capsys, command, "--run", "annotated", "--out", "s3://bucket/model.jsonl")
    assert line.startswith("toolformer: --out is s3://bucket/model.jsonl; it can only be on a disk")
    assert [path.name for path in sent.iterdir()] == ["annotated"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_submitted_job_writes_nothing_where_it_would_be_deleted(command: str, submitted: Path, capsys) -> None:
    line = refuse(capsys, command, "--run", "annotated", "--out", "runs/tuned.jsonl")
    assert line.startswith("toolformer: --out is runs/tuned.jsonl; it is a relative path, and a submitted job works in")
    assert [path.name for path in submitted.iterdir()] == ["annotated"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_submitted_job_is_told_which_run_was_not_sent_along(command: str, submitted: Path, capsys) -> None:
    line = refuse(capsys, command, "--run", "annotated", "elsewhere", "--out", str(submitted / "out.jsonl"))
    assert line.startswith("toolformer: --run is elsewhere; it is not among what `ray job submit` sent to the cluster")


def test_a_submitted_export_goes_to_an_absolute_path_and_one_that_nobody_submitted_anywhere(
    submitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["export", "--run", "annotated", "--out", str(submitted / "kept.jsonl")]) == 0
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR")
    assert main(["export", "--run", "annotated", "--out", "kept too.jsonl"]) == 0
    assert (submitted / "kept.jsonl").read_bytes() == (submitted / "kept too.jsonl").read_bytes()
