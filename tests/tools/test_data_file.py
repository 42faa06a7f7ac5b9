"""Reading the files behind the tools."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from toolformer_ray.tools.backends.data_file import hash_file, read_columns

JSONL = '{"b": "x", "a": "1"}\n\n{"a": null, "b": ["y", "z"], "c": 0}\n{"a": 3, "b": []}\n'
ROWS = [("1", "x"), ("", "y"), ("3", "")]


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def test_reads_json_lines_plain_and_compressed(tmp_path: Path) -> None:
    for name, content in {
        "rows.jsonl": JSONL.encode(),
        "marked.jsonl": JSONL.encode("utf-8-sig"),
        "rows.jsonl.gz": gzip.compress(JSONL.encode()),
        "rows.jsonl.zst": zstandard.compress(JSONL.encode()),
    }.items():
        assert list(read_columns(write(tmp_path / name, content), ("a", "b"))) == ROWS


def test_reads_tables_with_a_header_and_quoted_fields(tmp_path: Path) -> None:
    tsv = write(tmp_path / "rows.tsv", b'id\ttext\ttitle\n1\t"two\nlines"\tOne\n2\tb, c\tTwo\n')
    assert list(read_columns(tsv, ("title", "text"))) == [("One", "two\nlines"), ("Two", "b, c")]
    csv = write(tmp_path / "rows.csv.gz", gzip.compress(b"source,target\nmer,sea\n"))
    assert list(read_columns(csv, ("source", "target"))) == [("mer", "sea")]


def test_reads_parquet_by_path_and_by_uri(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"b": ["x", None], "a": ["1", "2"], "n": [1, 2]}), path)
    for name in (str(path), f"file://{path}"):
        assert list(read_columns(name, ("a", "b", "n"))) == [("1", "x", "1"), ("2", "", "2")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b'{"a": "1"}\n', "has no column 'b'; its columns are a$"),
        ("rows.csv", b"a,c\n1,2\n", "has no column 'b'; its columns are a, c$"),
        ("rows.jsonl", b'{"a": "1", "b": "2"}\n{"a"', "cannot read .* after row 1: "),
        ("rows.jsonl", b"[1]\n", "row 1 of .* is no JSON object"),
        ("rows.jsonl", b'{"a": "\xff"}\n', "cannot read .* after row 0: 'utf-8' codec"),
        ("rows.jsonl.gz", b"no gzip", "cannot read .* after row 0: Not a gzipped file"),
        ("rows.jsonl.gz", gzip.compress(JSONL.encode(), mtime=0)[:-20], "cannot read .* after row"),
        ("rows.jsonl.zst", b"no zstandard", "cannot read "),
        ("rows.parquet", b"no parquet", "cannot read .* after row 0: "),
        ("rows.txt", b"a b\n", r"is none of .jsonl, .tsv, .csv"),
    ],
)
def test_says_in_one_line_what_is_wrong_with_a_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(ValueError, match=message) as caught:
        list(read_columns(path, ("a", "b")))
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)


def test_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.jsonl does not exist"):
        list(read_columns(str(tmp_path / "nowhere.jsonl"), ("a",)))
    with pytest.raises(ValueError, match=r"cannot read .*nowhere\.jsonl"):
        hash_file(str(tmp_path / "nowhere.jsonl"))


def test_the_hash_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    one, same, other = (write(tmp_path / f"{n}.csv", content) for n, content in enumerate((b"a\n1", b"a\n1", b"a\n2")))
    assert hash_file(one) == hash_file(same) != hash_file(other)
