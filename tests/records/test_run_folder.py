"""The run folder: a shard is there whole or not at all, and its header tells what it was made from."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import DamagedError, RunFolder, shard_name
from toolformer_ray.records.schema import arrow_schema
from toolformer_ray.records.shard_header import ShardHeader, find_header, fingerprint_content, from_metadata
from toolformer_ray.records.stages import Document, Dropped, Executed
from toolformer_ray.records.storage import Disk


def document(number: int, **changes: object) -> Document:
    values = {"title": None, "url": None, "date": None, "source": "here", "part": 0}
    named = {"text_id": f"{number}-0", "doc_id": str(number), "text": f"text {number}"}
    return Document(**values | named | changes)


def write(run: RunFolder, shard: str = "part-00000", rows: int = 3, **changes: object) -> None:
    options = {"fingerprint": "f1", "counts": {ROWS: rows}} | changes
    run.write_shard("documents", shard, Document, [document(number) for number in range(rows)], **options)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_shard_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    rows = [document(0, text="1\x00\u202e [x]\n"), document(1, title="t")]
    run.write_shard("documents", "part-00000", Document, rows, fingerprint="f1", counts={})
    assert run.read_shard("documents", "part-00000", Document) == rows


def test_an_empty_shard_is_written_too_and_has_its_columns(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write(run, rows=0)
    assert run.read_shard("documents", "part-00000", Document) == []
    assert pq.read_schema(tmp_path / "documents/part-00000.parquet").equals(arrow_schema(Document))


def test_the_header_tells_what_the_shard_was_made_from_and_what_it_holds(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write(
        run, rows=3, fingerprint="f7", counts={ROWS: 3, Count("kept", tool="Calculator"): 2}, parts={"Calculator": "p"}
    )
    table = pq.read_table(tmp_path / "documents/part-00000.parquet")
    content = fingerprint_content(table.column_names, table.to_pylist())
    expected = ShardHeader(
        fingerprint="f7",
        counts={ROWS: 3, Count("kept", tool="Calculator"): 2},
        content=content,
        parts={"Calculator": "p"},
    )
    assert run.header("documents", "part-00000") == expected
    assert run.header("documents", "part-00001") is None


@pytest.mark.parametrize("counts", [{}, {Count("dropped", f"reason {number}", "QA"): number for number in range(900)}])
def test_a_header_is_found_by_its_keys_whatever_texts_say(counts: dict[Count, int], tmp_path: Path) -> None:
    run, made_from = RunFolder(str(tmp_path)), fingerprint("settings")
    # A Parquet footer holds the smallest and the largest value of each column.
    lie = document(0, text=f"toolformer.fingerprint\x18\x20{'0' * 32}")
    written = {"fingerprint": made_from, "counts": counts, "parts": {"QA": made_from}}
    header = run.write_shard("documents", "part-00000", Document, [lie], **written)
    path = tmp_path / "documents/part-00000.parquet"
    assert find_header(path.read_bytes()) == header == from_metadata(pq.read_metadata(path).metadata)
    assert find_header(path.read_bytes()[-100:]) is None


def test_equal_rows_are_equal_content_however_long_a_tool_took(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    contents = [
        run.write_shard(
            "executed", "part-00000", Executed, [make_executed(**columns)], fingerprint="", counts={}
        ).content
        for columns in ({}, {"seconds": 2.0}, {"from_cache": True}, {"result": "6"}, {"loss_without": 2.0 + 1e-12})
    ]
    assert [content == contents[0] for content in contents] == [True, True, True, False, True]


def make_executed(**columns: object) -> Executed:
    place = {"text_id": "0-0", "tool": "Add", "token_index": 1, "char_offset": 4, "open_probability": 0.5}
    call = {"call_input": "2+3", "num_samples": 1, "loss_without": 2.0}
    answer = {"status": "ok", "result": "5", "seconds": 0.5, "from_cache": False}
    return Executed(**place | call | answer | columns)


def test_files_that_are_no_shards_are_reported_and_treated_as_not_there(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    for number in range(4):
        write(run, shard_name(number))
    folder = tmp_path / "documents"
    whole = (folder / "part-00000.parquet").read_bytes()
    (folder / "part-00000.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "part-00001.parquet").write_bytes(b"")
    pq.write_table(pa.table({"a": [1]}), folder / "part-00002.parquet")
    (folder / "part-00004.parquet").write_bytes(b"PAR1" + b"\xff" * 40 + b"PAR1")
    headers = run.headers("documents")
    assert list(headers.by_shard) == ["part-00003"]
    assert [Path(path).stem for path in headers.damaged] == ["part-00000", "part-00001", "part-00002", "part-00004"]
    assert run.header("documents", "part-00001") is None


def test_rows_that_are_not_those_of_the_footer_are_refused_though_the_file_is_whole(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write(run, rows=3)
    path = tmp_path / "documents/part-00000.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(DamagedError, match=rf"^{path} is damaged: its rows are not those that its footer tells of$"):
        run.read_shard("documents", "part-00000", Document)


def test_a_checksum_guards_the_columns_that_are_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    calls = [make_executed(text_id=str(number), seconds=number / 7) for number in range(100)]
    run.write_shard("executed", "part-00000", Executed, calls, fingerprint="", counts={})
    path = tmp_path / "executed/part-00000.parquet"
    names = pq.read_schema(path).names
    column = pq.read_metadata(path).row_group(0).column(names.index("seconds"))
    content = bytearray(path.read_bytes())
    content[column.dictionary_page_offset + 200] ^= 1  # of the 400 bytes of 100 different numbers
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="CRC"):
        run.read_shard("executed", "part-00000", Executed)


def test_a_null_where_the_record_has_none_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    with pytest.raises(pa.ArrowInvalid, match="1 rows without a value for text"):
        run.write_shard("documents", "part-00000", Document, [document(0, text=None)], fingerprint="", counts={})
    assert files(tmp_path) == []


def test_a_shard_that_could_not_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(str(tmp_path))
    write(run, rows=1, fingerprint="old")

    def write_half(path: str, content: pa.Buffer, **_: bool) -> None:
        Path(path).write_bytes(bytes(content)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("toolformer_ray.records.storage._write", write_half)
    with pytest.raises(OSError, match="No space left"):
        write(run, rows=2, fingerprint="new")
    assert files(tmp_path) == ["documents/part-00000.parquet"]
    assert run.header("documents", "part-00000").fingerprint == "old"


def test_what_a_killed_writer_leaves_behind_is_no_shard_and_can_be_removed(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write(run)
    (tmp_path / "documents/.part-00001.parquet.1a2b3c4d.tmp").write_bytes(b"PAR1")
    assert run.shards("documents") == ["part-00000"]
    assert len(list(tmp_path.glob("**/*.parquet"))) == 1
    run.remove_leftovers()
    assert files(tmp_path) == ["documents/part-00000.parquet"]


def test_a_temporary_file_that_another_process_removes_first_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(str(tmp_path))
    (tmp_path / ".run.json.1a2b3c4d.tmp").touch()
    seen = list(Disk().temporary_files(str(tmp_path)))
    (tmp_path / ".run.json.1a2b3c4d.tmp").unlink()
    monkeypatch.setattr(Disk, "temporary_files", lambda *_: iter(seen))
    run.remove_leftovers()
    run.create()
    assert files(tmp_path) == []


def test_what_a_thread_is_writing_is_not_taken_for_left_behind(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    for name in (".lease.json.1a2b3c4d.tmp", ".run.json.1a2b3c4d.tmp"):
        (tmp_path / name).touch()
    run.remove_leftovers(but_of="lease.json")
    assert files(tmp_path) == [".lease.json.1a2b3c4d.tmp"]


def test_tables_may_be_nested_and_missing_ones_are_empty(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    run.write_shard("dropped/propose", "part-00003", Dropped, [], fingerprint="", counts={})
    assert run.shards("dropped/propose") == ["part-00003"]
    assert run.shards("dropped/score") == []
    assert run.headers("scored").by_shard == {}


def test_json_files_are_replaced_whole_and_damaged_ones_named(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    assert run.read_json("run.json") is None
    run.write_json("failed/score/part-00000.json", {"error": "é"})
    assert run.read_json("failed/score/part-00000.json") == {"error": "é"}
    assert run.shards("failed/score", ".json") == ["part-00000"]
    run.delete("failed/score/part-00000.json")
    run.delete("failed/score/part-00000.json")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json is not JSON .*; delete it or use another `run`"):
        run.read_json("run.json")


def test_a_uri_opens_the_same_folder_as_its_path(tmp_path: Path) -> None:
    write(RunFolder(f"file://{tmp_path}/run"))
    assert RunFolder(str(tmp_path / "run")).shards("documents") == ["part-00000"]


def test_a_relative_path_is_the_same_folder_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert RunFolder("run").location == str(tmp_path / "run")


def test_a_location_that_no_filesystem_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="run folder ftp://x/y cannot be opened"):
        RunFolder("ftp://x/y")
