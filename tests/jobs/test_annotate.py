"""`toolformer annotate` with its real stages, on a model with random weights that writes calls."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.s3_server import S3Server
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Augmented, Document, Dropped, Executed, Scored
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.outputs import tables_of

REPOSITORY = Path(__file__).parents[2]
NUM_TEXTS = 12
DIFFERS_BY_LUCK = {"seconds", "from_cache"}
"""How long a tool took, and whether an equal call of the same shard came first."""

pytestmark = pytest.mark.usefixtures("shared_ray")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    texts = [f"Mill {n} ground {400 + n} sacks \U0001f33e, [Calculator(1+1) -> 2] more." for n in range(NUM_TEXTS - 3)]
    texts += ["7", "NUL \0 is 0", "\u05e9\u05dc\u05d5\u05dd 12 \u202e34 e\u0301"]
    lines = [json.dumps({"text": text}).encode() for text in texts]
    path.write_bytes(b"\n".join([*lines, b'{"text": "\xff"}', b""]))
    return path


def arguments(run: Path | str, corpus: Path, model: str, *more: str, shard_size: int = 5) -> list[str]:
    return [
        *("annotate", "--run", str(run), "--corpus", str(corpus), "--model", model, "--tools", "calculator"),
        *("--shard-size", str(shard_size), "--max-call-tokens", "10", "--calculator.max-places", "8"),
        *("--calculator.num-samples", "40", "--calculator.min-loss-reduction=-1", "--retry-delay", "0"),
        *more,
    ]


@pytest.fixture(scope="module")
def finished(shared_ray: None, corpus: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    assert main(arguments(run, corpus, model, "--model-workers", "1")) == 0
    return run


def read_all(run: Path | str, table: str, record: type[Record]) -> list[Record]:
    folder = RunFolder(str(run))
    return [row for shard in folder.shards(table) for row in folder.read_shard(table, shard, record)]


def assert_same_rows(run: Path, other: Path | str) -> None:
    for table, record in tables_of(PIPELINE).items():
        rows, others = read_all(run, table, record), read_all(other, table, record)
        assert len(rows) == len(others), table
        for row, its_other in zip(rows, others, strict=True):
            assert comparable(row) == pytest.approx(comparable(its_other), abs=1e-4), table


def comparable(row: Record) -> dict[str, object]:
    flat = {name: value for name, value in vars(row).items() if name not in DIFFERS_BY_LUCK and name != "calls"}
    calls: Sequence[Record] = getattr(row, "calls", ())
    return flat | {f"{n}.{name}": value for n, call in enumerate(calls) for name, value in vars(call).items()}


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


def test_shards_workers_and_batches_change_no_row(finished: Path, corpus: Path, model: str, tmp_path: Path) -> None:
    spread = ("--model-workers", "2", "--token-budget", "300", "--threads-per-worker", "1")
    assert main(arguments(tmp_path / "run", corpus, model, *spread, shard_size=7)) == 0
    assert_same_rows(finished, tmp_path / "run")


def test_a_driver_that_is_killed_and_run_again_makes_the_same_rows(
    shared_ray: str, finished: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "jobs.annotate_corpus", *arguments(run, corpus, model, "--log-every", "0.01")[1:]]
    told = os.environ | {"RAY_ADDRESS": shared_ray}
    with subprocess.Popen(command, cwd=REPOSITORY, env=told, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "now: " in line and "score" in line)
        process.kill()
    assert main(arguments(run, corpus, model)) == 0
    assert_same_rows(finished, run)


def test_a_run_in_a_bucket_that_is_killed_and_run_again_makes_the_same_rows(
    finished: Path, corpus: Path, model: str, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = s3.make_bucket("killed-run")
    here = arguments(f"s3://{bucket}/run", corpus, model, "--log-every", "0.01", "--record", f"s3://{bucket}/answers")
    command = [sys.executable, "-m", "jobs.annotate_corpus", *here[1:]]
    # On a Ray of its own, whose workers have the variables too.
    told = os.environ | s3.environment()
    with subprocess.Popen(command, cwd=REPOSITORY, env=told, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "now: " in line and "score" in line)
        process.send_signal(signal.SIGSTOP)
        again = arguments(s3.uri(bucket), corpus, model, "--record", s3.uri(bucket, "answers"))
        assert main(again) == 2
        assert f"another driver (process {process.pid} on" in capsys.readouterr().err
        process.kill()
    assert main(again) == 0
    assert_same_rows(finished, s3.uri(bucket))
    assert main(["verify", s3.uri(bucket)]) == 0
    assert "SECRET" not in "".join(capsys.readouterr()) + json.dumps(RunFolder(s3.uri(bucket)).read_json("run.json"))


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
    assert main(arguments(finished, corpus, model, "--model-workers", "3", "--calculator.max-in-flight", "1")) == 0
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
