"""What is written to stderr: lines for people, or objects for machines."""

import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from toolformer_ray.jobs.cli.main import main
from toolformer_ray.workflow.log import ProgressOptions, say, set_format, warn
from toolformer_ray.workflow.report.progress import ProgressLine, Snapshot


@pytest.fixture
def as_json() -> Iterator[None]:
    set_format("json")
    yield
    set_format("text")


def read_objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_people_are_told_what_has_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    warn("stopped", "stopped; what is finished is kept", texts=3)
    warn("retry", shard="part-00001")
    assert capsys.readouterr().err == "stopped; what is finished is kept\n"


def test_machines_are_told_everything_one_object_a_line(as_json: None, capsys: pytest.CaptureFixture[str]) -> None:
    warn("retry", stage="score", shard="part-00001", attempt=1, error='OSError: "two\nlines" at s3://KEY:SECRET@b')
    say("stopped", "stopped; what is finished is kept")
    logging.getLogger("toolformer_ray.lm.batching").warning("the device ran out of memory at %d tokens", 5)
    warnings.warn("old", stacklevel=1)
    retry, stopped, foreign, old = read_objects(capsys)
    assert str(retry["time"]).endswith("+00:00") and retry["level"] == "warning" and "message" not in retry
    assert (retry["event"], retry["stage"], retry["shard"], retry["attempt"]) == ("retry", "score", "part-00001", 1)
    assert "two\nlines" in str(retry["error"]) and "SECRET" not in str(retry["error"])
    assert (stopped["level"], stopped["event"]) == ("info", "stopped")
    assert (foreign["event"], foreign["message"]) == (
        "toolformer_ray.lm.batching",
        "the device ran out of memory at 5 tokens",
    )
    assert old["event"] == "py.warnings"


def test_progress_is_an_object_with_the_numbers_of_the_line(as_json: None, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = Snapshot(
        state="running",
        updated=0.0,
        texts=9,
        finished_texts=3,
        is_ingesting=False,
        texts_per_second=2.0,
        seconds_left=3.0,
        in_flight={"score": 1},
        opening=[],
        failed_shards=0,
        calls={},
        kept={},
        counts={"score": {"rows": 5}},
    )
    line = ProgressLine(ProgressOptions(log_every=1e-9))
    line.show(snapshot)
    (told,) = read_objects(capsys)
    assert (told["event"], told["finished_texts"], told["seconds_left"], told["in_flight"]) == (
        *("progress", 3, 3.0),
        {"score": 1},
    )
    assert "counts" not in told


def test_another_format_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "--run", "r", "--corpus", "c", "--model", "m", "--log-format", "xml"]) == 2
    assert capsys.readouterr().err == "toolformer: --log-format is xml; it must be text or json\n"


def test_what_ends_a_run_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "--run", "r", "--corpus", "c", "--model", "/no/model", "--log-format", "json"]) == 2
    (told,) = read_objects(capsys)
    assert (told["level"], told["event"]) == ("error", "refused")
    assert "--model is /no/model" in str(told["error"])
    assert main(["status", "/no/run"]) == 2
    assert capsys.readouterr().err.startswith("toolformer: no run folder")
