"""Files as people have them, packed and encoded in other ways than their names say: none is lost in silence."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.support.corpora import TOKENIZER, ingested, lines, texts, write
from toolformer_ray.annotate.ingest import IngestOptions, check_corpus
from toolformer_ray.annotate.reading import json_rows

ROWS = [{"text": "a"}, {"text": "zwölf שלום 🌾"}]
CONTENT = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in ROWS)
TEXTS = [row["text"] for row in ROWS]


def test_how_a_file_is_packed_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    packed = {
        "A.JSONL.GZ": gzip.compress(CONTENT),
        "a.jsonl": gzip.compress(CONTENT),
        "b.jsonl.gz": CONTENT,
        "c.Json.Bz2": bz2.compress(CONTENT),
        "d.ndjson.xz": lzma.compress(CONTENT),
        "e.jsonl.zst": zstandard.compress(CONTENT),
        "f.jsonl": zstandard.compress(CONTENT),
        "g.jsonl.lz4": _lz4(CONTENT),
        "h.jsonl.gz": gzip.compress(CONTENT[:14]) + gzip.compress(CONTENT[14:]),
    }
    for name, content in packed.items():
        assert texts(write(tmp_path / name, content)) == TEXTS, name


def _lz4(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as packing:
        packing.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress, _lz4])
def test_a_packed_file_that_was_cut_short_is_named(tmp_path: Path, pack: object) -> None:
    content = pack(lines(*({"text": f"mill {n * n * n}"} for n in range(5_000))))
    with pytest.raises(ValueError, match=r"^\S*cut.jsonl cannot be read: [^\n]+$"):
        ingested(write(tmp_path / "cut.jsonl", content[: len(content) // 2]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-8-sig"])
def test_json_of_any_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    assert texts(write(tmp_path / "a.jsonl", CONTENT.decode().replace("\n", "\r\n").encode(encoding))) == TEXTS
    assert texts(write(tmp_path / "a.json", json.dumps(ROWS).encode(encoding))) == TEXTS
    assert texts(write(tmp_path / "a.jsonl.gz", gzip.compress(CONTENT.decode().encode(encoding)))) == TEXTS


def test_a_text_in_utf_16_is_read_and_one_with_a_zero_is_left_alone(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "Zwölf.\r\n".encode("utf-16"))) == ["Zwölf.\r\n"]
    assert texts(write(tmp_path / "b.txt", b"a\0b")) == ["a\0b"]
    half = "\ud800".encode("utf-16-le", "surrogatepass")
    _, dropped = ingested(write(tmp_path / "c.txt", b"\xff\xfeH\0" + half))
    assert [drop.reason for drop in dropped] == ["invalid_utf8", "unusable_source"]
    with pytest.raises(ValueError, match=r"d.txt cannot be read: it is no valid utf-16"):
        ingested(write(tmp_path / "d.txt", b"\xff\xfeH"))


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"separators": (",", ":")}])
def test_an_array_of_objects_is_read_element_by_element(tmp_path: Path, layout: dict[str, object]) -> None:
    rows = [{"text": f"mill {n} ]}},[{{", "n": n * 1.5, "deep": [[{"x": "]"}]]} for n in range(1_000)]
    for name in ("a.json", "b.jsonl", "c.json.gz"):
        content = b" \n" + json.dumps(rows, **layout).encode() + b"\n\n"
        path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
        documents, dropped = ingested(path)
        assert [document.text for document in documents] == [row["text"] for row in rows]
        assert (documents[7].doc_id, dropped) == (f"{path}#8", [])


def test_an_array_larger_than_a_chunk_loses_nothing_at_the_borders(tmp_path: Path) -> None:
    rows = [{"text": f"{n} " + "מ" * (n % 7) * 40_000} for n in range(30)]
    content = json.dumps(rows, ensure_ascii=False).encode()
    assert len(content) > 5 << 20
    assert "".join(texts(write(tmp_path / "a.json", content), max_text_tokens=10**6)) == "".join(
        row["text"] for row in rows
    )


@pytest.mark.parametrize(
    "content, after, told",
    [
        (b'[{"text": "a"}, {"text": "b"', 1, "delimiter"),
        (b'[{"text": "a"} {"text": "b"}]', 1, "is missing"),
        (b'[{"text": "a"}, nonsense, {"text": "b"}]', 1, "Expecting value"),
        (b'[{"text": "a"}', 1, "is missing"),
        (b'[{"text": "a"}] [{"text": "b"}]', 1, "something follows"),
    ],
)
def test_a_broken_array_is_named_with_the_place(tmp_path: Path, content: bytes, after: int, told: str) -> None:
    with pytest.raises(ValueError, match=rf"a.json is one JSON array that is broken after element {after}: .*{told}"):
        ingested(write(tmp_path / "a.json", content))


def test_no_more_of_a_broken_array_is_read_than_an_element_may_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_rows, "MAX_ELEMENT_CHARS", 1_000)
    path = write(tmp_path / "a.json", b'[{"text": "a"}, {"text": "' + b"x" * (9 << 20))
    source = json_rows.JsonSource(pa.fs.LocalFileSystem(), str(path), "a.json")
    with pytest.raises(ValueError, match=r"broken after element 1"):
        list(source.rows([]))


def test_an_array_of_nothing_is_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    write(tmp_path / "b.json", b" [ ]\n")
    documents, dropped = ingested(tmp_path)
    assert (len(documents), dropped) == (1, [])


def test_elements_that_are_no_objects_are_dropped_one_by_one(tmp_path: Path) -> None:
    documents, dropped = ingested(write(tmp_path / "a.json", b'[{"text": "a"}, 12, "x", null, {"text": "b"}, [1]]'))
    assert [document.text for document in documents] == ["a", "b"]
    assert [drop.reason for drop in dropped] == ["invalid_row"] * 4


def test_lines_each_of_which_is_an_array_are_lines(tmp_path: Path) -> None:
    documents, dropped = ingested(write(tmp_path / "a.jsonl", b'[{"text": "x"}]\n{"text": "a"}\n'))
    assert [document.text for document in documents] == ["a"]
    assert [drop.reason for drop in dropped] == ["invalid_row"]


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("b.json", b'{\n "text": "a"\n}\n', "4 with no JSON object|3 with no JSON object"),
        ("b.jsonl", lines({"body": "a"}, {"body": "b"}), r"2 with no text; the first: #1: no text in column 'text'"),
        ("b.jsonl", "ü\n".encode("latin-1"), "1 with bytes that are no UTF-8"),
        ("b.txt", "für".encode("cp1252"), "1 with bytes that are no UTF-8"),
        ("b.jsonl", b'{"text": "a"}\r{"text": "b"}\r', "1 with no JSON object"),
        ("b.jsonl", b"text,title\na,b\n", "2 with no JSON object"),
        ("b.jsonl", lines({"text": ["a"]}), "1 with no text; the first: #1: a list where a text should be"),
    ],
)
def test_a_file_of_which_no_row_is_usable_is_a_drop_that_names_it(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    path = write(tmp_path / name, content)
    documents, dropped = ingested(tmp_path)
    assert [document.text for document in documents] == ["a"]
    (drop,) = [drop for drop in dropped if drop.reason == "unusable_source"]
    assert drop.text_id == str(path)
    assert any(told in (drop.detail or "") for told in reason.split("|")), drop.detail


def test_files_of_duplicates_or_of_white_space_are_no_loss(tmp_path: Path) -> None:
    for name, text in {"a": "same", "b": "same", "c": " \n"}.items():
        write(tmp_path / f"{name}.txt", text.encode())
    assert [drop.reason for drop in ingested(tmp_path)[1]] == ["duplicate", "empty_text"]


def _zip(content: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.jsonl", content)
    return written.getvalue()


def _tar(content: bytes) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        entry = tarfile.TarInfo("a.jsonl")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def _parquet(_: bytes) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), written)
    return written.getvalue()


@pytest.mark.parametrize(
    "wrap, told",
    [
        (_zip, "is a ZIP archive: unpack it"),
        (_tar, "is a tar archive: unpack it"),
        (lambda content: gzip.compress(_tar(content)), "is a tar archive: unpack it"),
        (_parquet, "is a Parquet file: name it .parquet"),
        (lambda content: b"%PDF-1.7 ...", "is a PDF"),
    ],
)
def test_what_only_looks_like_text_by_its_name_is_refused(tmp_path: Path, wrap: object, told: str) -> None:
    for name in ("a.jsonl", "a.txt"):
        with pytest.raises(ValueError, match=rf"{name} {told}"):
            ingested(write(tmp_path / name, wrap(CONTENT)))


def test_a_file_without_an_ending_is_what_its_first_bytes_say(tmp_path: Path) -> None:
    write(tmp_path / "part-00000", CONTENT)
    write(tmp_path / "part-00001.gz", gzip.compress(lines({"text": "b"})))
    write(tmp_path / "part-00002", _parquet(b""))
    write(tmp_path / "docs.jsonl.1", lines({"text": "c"}))
    write(tmp_path / "LICENSE", b"Permission is granted")
    assert sorted(texts(tmp_path)) == sorted({*TEXTS, "b", "c"})
    assert texts(tmp_path / "part-00002") == ["a"]
    with pytest.raises(ValueError, match="LICENSE has no known ending"):
        ingested(tmp_path / "LICENSE")


def test_a_corpus_without_any_usable_text_is_refused_before_a_run_begins(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines({"text": 5}, {"text": 1.5}, {"text": ""}))
    told = (
        r"^the corpus holds no usable text \(missing_text 2, empty_text 1\): .*a.jsonl#1: a int where a text should be"
    )
    with pytest.raises(ValueError, match=told):
        check_corpus(IngestOptions(corpus=(str(path),)), TOKENIZER, 100)
