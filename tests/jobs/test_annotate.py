"""`toolformer annotate` with its real stages, on a model with random weights that writes calls."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.calling_run import NUM_TEXTS, arguments, assert_same_rows, read_all
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.stages import Augmented, Document, Dropped, Executed, Scored

pytestmark = pytest.mark.usefixtures("workers_in_process")


@pytest.fixture(scope="module")
def finished(workers_in_process: None, corpus: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(arguments(run, corpus, model)) == 0
    return run


def test_every_text_and_every_call_is_accounted_for(finished: Path) -> None:
    documents = {row.text_id: row.text for row in read_all(finished, "documents", Document)}
    scored = read_all(finished, "scored", Scored)
    augmented = read_all(finished, "augmented", Augmented)
    assert len(documents) == NUM_TEXTS
    assert [drop.reason for drop in read_all(finished, "dropped/ingest", Dropped)] == ["invalid_utf8"]
    assert any(row.is_kept for row in scored)
    assert {row.text_id for row in scored if row.is_kept} == {row.text_id for row in augmented}
    gave_way = len(read_all(finished, "dropped/interleave", Dropped))
    assert sum(row.is_kept for row in scored) == sum(row.num_calls for row in augmented) + gave_way
    for row in augmented:
        assert remove_calls(row.text, row.calls) == documents[row.text_id]


def test_a_recorded_run_is_replayed_with_the_same_rows_and_no_tool(
    finished: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    answers = str(tmp_path / "answers")
    for name, how in (("live", "--record"), ("offline", "--replay")):
        assert main(arguments(tmp_path / name, corpus, model, how, answers)) == 0
        assert_same_rows(finished, tmp_path / name)
    executed = read_all(tmp_path / "offline", "executed", Executed)
    assert executed and all(vars(row)["from_cache"] for row in executed)
    assert {vars(row)["seconds"] for row in executed} == {0.0}


def test_a_recording_that_is_none_is_refused_in_one_line(
    corpus: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path / "run", corpus, model, "--replay", str(tmp_path / "nothing"))) == 2
    assert f"--replay is {tmp_path}/nothing; it holds no recording; make one with --record" in capsys.readouterr().err


def test_a_finished_run_may_be_repeated_with_other_workers(finished: Path, corpus: Path, model: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.glob("**/*.parquet")}
    assert main(arguments(finished, corpus, model, "--calculator.max-in-flight", "1", model_workers=3)) == 0
    assert {path: path.stat().st_mtime_ns for path in finished.glob("**/*.parquet")} == before


def test_other_settings_are_refused_by_name_and_nothing_is_lost(
    finished: Path, corpus: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(finished.glob("**/*.parquet"))
    assert main(arguments(finished, corpus, model, "--seed", "7")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "made with other settings: --seed was 0 and is 7" in line
    assert "Use another --run, the old values, or --change-settings" in line
    assert sorted(finished.glob("**/*.parquet")) == before


def test_another_model_is_refused_even_under_the_same_name(
    finished: Path, corpus: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_calling_model(tmp_path / "other", seed=1)
    assert main(arguments(finished, corpus, other)) == 2
    assert f"--model was {model} and is {other}" in capsys.readouterr().err
    moved = shutil.copytree(model, tmp_path / "moved")
    assert main(arguments(finished, corpus, str(moved))) == 0


def test_a_corpus_that_changed_is_refused_and_one_that_was_only_touched_is_not(
    finished: Path, corpus: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = corpus.read_bytes()
    try:
        corpus.write_bytes(content + b'{"text": "One more."}\n')
        assert main(arguments(finished, corpus, model)) == 2
        assert f"the corpus has changed since {finished} was made: {corpus} had" in capsys.readouterr().err
    finally:
        corpus.write_bytes(content)
    os.utime(corpus, ns=(1, 1))
    before = {path: path.stat().st_mtime_ns for path in finished.glob("**/*.parquet")}
    assert main(arguments(finished, corpus, model)) == 0
    assert {path: path.stat().st_mtime_ns for path in finished.glob("**/*.parquet")} == before


def test_run_json_tells_settings_and_versions(finished: Path) -> None:
    told = json.loads((finished / "run.json").read_text())
    assert told["settings"]["calculator.num-samples"] == 40
    assert set(told["stage_fingerprints"]) == {"ingest", "propose", "execute", "score", "interleave"}
    assert "ray" in told["versions"]


def test_status_and_query_read_the_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert f"finished: {NUM_TEXTS} of {NUM_TEXTS} texts are through" in shown
    assert "propose               3        0       0      0" in shown
    assert "Calculator" in shown
    assert main(["query", str(finished), "select count(*) as texts from documents"]) == 0
    assert capsys.readouterr().out.split() == ["texts", "-----", str(NUM_TEXTS)]
