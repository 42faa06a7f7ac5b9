"""What a driver refuses because it was submitted: paths that mean a folder which will be deleted."""

import json
from pathlib import Path

import pytest

from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.workflow.options import AnnotateOptions, ModelOptions
from toolformer_ray.workflow.paths import refuse_lost_paths
from toolformer_ray.workflow.tool_choice import TaughtTools

AS_RAY_TELLS_IT = json.dumps({"runtime_env": {}, "metadata": {"job_submission_id": "one"}})


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """This process is the driver of a job, in a folder with a corpus that was sent along."""
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", AS_RAY_TELLS_IT)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sent.jsonl").touch()
    return tmp_path


def check(run: str, corpus: str = "sent.jsonl", answers: AnswerOptions = AnswerOptions()) -> None:  # noqa: B008
    options = AnnotateOptions(
        run=run,
        tools=TaughtTools(keys=("calculator",), answers=answers),
        ingest=IngestOptions(corpus=(corpus,)),
        model=ModelOptions(model="any"),
    )
    refuse_lost_paths(options, options.tools.make())


@pytest.mark.parametrize("run", ["runs/one", "./one", "~/one"])
def test_a_relative_run_folder_is_refused(run: str, submitted: Path) -> None:
    with pytest.raises(ValueError, match=rf"^run is {run}; it is a relative path, and a submitted job"):
        check(run)


@pytest.mark.parametrize("option", ["cache", "record"])
def test_answers_are_not_written_to_where_they_are_lost(option: str, submitted: Path) -> None:
    with pytest.raises(ValueError, match=rf"^{option} is answers; it is a relative path"):
        check("/shared/one", answers=AnswerOptions(**{option: "answers"}))


def test_what_is_read_may_be_relative_if_it_was_sent_along(submitted: Path) -> None:
    for corpus in ("sent.jsonl", "*.jsonl", "hf:any", "s3://bucket/corpus", "/absent/is/found/out/later"):
        check("s3://bucket/one", corpus)
    with pytest.raises(ValueError, match=r"^corpus is data/a.txt; it is not among what `ray job submit` sent"):
        check("/shared/one", "data/a.txt")
    with pytest.raises(ValueError, match=r"^replay is kept; it is not among"):
        check("/shared/one", answers=AnswerOptions(replay="kept"))


def test_a_command_that_nobody_submitted_may_name_what_it_likes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for told in ("", "{}", "not JSON", json.dumps({"runtime_env": {}, "metadata": {}})):
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", told)
        check("runs/one", "absent.jsonl")
