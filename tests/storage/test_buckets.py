"""A run folder in a bucket, on a real S3 server: each file is one request, whole or not there; no folder is made."""

import signal
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.s3_server import FULL_BUCKET, NUM_OBJECTS, S3Server
from tests.support.small_run import write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.records.storage import Bucket
from toolformer_ray.tools.asking.answer_store import AnswerOptions, open_store
from toolformer_ray.tools.asking.call import Call, Outcome
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.workflow.book.lease import LEASE_FILE, hold_run


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    return s3.make_bucket(f"bucket-{abs(hash(request.node.nodeid))}")


def test_a_file_is_one_request_under_its_own_name(s3: S3Server, bucket: str) -> None:
    run = RunFolder(s3.uri(bucket))
    before = len(s3.requests(bucket))
    run.write_json("failed/score/part-00000.json", {"error": "é"})
    run.write_shard("documents", "part-00000", Document, [], fingerprint="f", counts={})
    assert s3.requests(bucket)[before:] == [
        f"PUT /{bucket}/run/failed/score/part-00000.json",
        f"PUT /{bucket}/run/documents/part-00000.parquet",
    ]
    assert s3.keys(bucket) == ["run/documents/part-00000.parquet", "run/failed/score/part-00000.json"]
    assert run.read_json("failed/score/part-00000.json") == {"error": "é"}


def test_the_footer_of_a_shard_costs_two_requests_and_its_rows_two(s3: S3Server, bucket: str) -> None:
    run = write_small_run(s3.uri(bucket))
    before = len(s3.requests(bucket))
    assert run.header("scored", "part-00000")
    assert run.read_shard("documents", "part-00000", Document)
    assert [request.split(" ")[0] for request in s3.requests(bucket)[before:]] == ["HEAD", "GET", "HEAD", "GET"]


def test_a_listing_of_more_than_a_page_is_whole_and_in_order(s3: S3Server) -> None:
    shards = RunFolder(s3.uri(FULL_BUCKET, "many")).shards("documents")
    assert shards == [f"part-{number:05d}" for number in range(NUM_OBJECTS)]


def test_what_is_not_there_is_none_or_nothing_and_its_deletion_no_error(s3: S3Server, bucket: str) -> None:
    run = RunFolder(s3.uri(bucket))
    assert run.read_json("run.json") is None
    assert run.header("documents", "part-00000") is None
    assert run.shards("documents") == run.leftovers() == []
    run.delete("run.json")
    with pytest.raises(FileNotFoundError):
        run.read_shard("documents", "part-00000", Document)


def test_a_write_that_a_signal_interrupts_leaves_the_old_object_or_the_new_one(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(s3.uri(bucket))
    run.write_json("run.json", ["old"])

    def open_and_be_interrupted(storage: Bucket, path: str) -> pa.NativeFile:
        stream = storage.filesystem.open_output_stream(path)
        signal.raise_signal(signal.SIGINT)
        return stream

    monkeypatch.setattr(Bucket, "_open", open_and_be_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.write_json("run.json", ["new"])
    assert run.read_json("run.json") in (["old"], ["new"])


def test_a_store_that_is_out_of_reach_is_not_taken_for_a_damaged_shard(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_small_run(s3.uri(bucket))

    def be_cut_off(*_: object, **__: object) -> bytes:
        raise OSError("AWS Error NETWORK_CONNECTION during HeadObject operation")

    monkeypatch.setattr(Bucket, "read", be_cut_off)
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        run.headers("documents")
    with pytest.raises(OSError, match="NETWORK_CONNECTION"):
        run.read_shard("documents", "part-00000", Document)


def test_a_bucket_that_is_not_there_is_one_line_without_keys(s3: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", s3.uri("no-such-bucket")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no run folder in s3://no-such-bucket/run:" in line and "SECRET" not in line


def test_a_run_is_looked_at_queried_and_verified_where_it_is(
    s3: S3Server, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    location = write_small_run(s3.uri(bucket)).location
    assert main(["status", location]) == 0
    assert main(["query", location, "select count(*) as texts from documents"]) == 0
    assert main(["verify", location]) == 0
    printed = capsys.readouterr()
    assert "everything is accounted for" in printed.out
    assert "SECRET" not in printed.out + printed.err


def test_the_environment_may_tell_where_the_store_is(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_run(s3.uri(bucket))
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    assert main(["verify", f"s3://{bucket}/run"]) == 0


def test_a_shard_that_is_damaged_in_a_bucket_is_named_with_its_uri(s3: S3Server, bucket: str) -> None:
    run = write_small_run(s3.uri(bucket))
    with run.filesystem.open_output_stream(f"{bucket}/run/scored/part-00000.parquet") as sink:
        sink.write(b"PAR1")
    assert run.headers("scored").damaged == [f"s3://{bucket}/run/scored/part-00000.parquet"]


def test_a_lease_in_a_bucket_keeps_a_second_driver_away(s3: S3Server, bucket: str) -> None:
    run, other = RunFolder(s3.uri(bucket)), RunFolder(s3.uri(bucket))
    with hold_run(run, lambda _: None) as holder:
        assert holder.beat()
        with pytest.raises(ValueError, match=rf"another driver \(process .*\) is working on s3://{bucket}/run"):
            hold_run(other, lambda _: None).__enter__()
    assert other.read_json(LEASE_FILE) is None


@pytest.mark.parametrize("mode", ["cache", "record"])
def test_answers_are_shared_through_a_bucket(mode: str, s3: S3Server, bucket: str, tmp_path: Path) -> None:
    call, tool = Call(tool="Calculator", call_input="1+1", today=None), Calculator()
    tool.answers_at_once = False
    location = s3.uri(bucket, "answers")
    store = open_store(AnswerOptions(**{mode: location}))
    assert store and store.look_up(call, tool) is None
    store.keep(call, tool, Outcome(status="ok", result="2", from_cache=False))
    store.check()
    later = open_store(AnswerOptions(**{mode if mode == "cache" else "replay": location}))
    known = later and later.look_up(call, tool)
    assert known and known.result == "2"
