import datetime
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.support.corpora import TOKENIZER, ingested, lines, shards, texts, write
from tests.support.s3_server import S3Server
from toolformer_ray.annotate.corpus import find_sources
from toolformer_ray.annotate.ingest import IngestOptions, ingest
from toolformer_ray.records.stages import DROP_REASONS, Document


def test_a_row_becomes_a_document_with_its_columns(tmp_path: Path) -> None:
    row = {"id": 7, "text": "A mill.", "title": "Mill", "url": "https://a.org/x", "timestamp": "2017-10-11 14:00:00"}
    path = write(tmp_path / "docs.jsonl", lines(row))
    (document,), dropped = ingested(path)
    assert dropped == []
    assert document == Document(
        text_id=document.text_id,
        doc_id="7",
        part=0,
        text="A mill.",
        title="Mill",
        url="https://a.org/x",
        date=datetime.date(2017, 10, 11),
        source=str(path),
    )
    assert len(document.text_id) == 34 and document.text_id.endswith("-0")


def test_what_a_source_lacks_is_none_and_the_id_is_the_source_and_the_row(tmp_path: Path) -> None:
    path = write(tmp_path / "docs.jsonl", b"\n" + lines({"text": "A mill."}))
    (document,), _ = ingested(path)
    assert (document.doc_id, document.title, document.url, document.date) == (f"{path}#2", None, None, None)


def test_the_date_comes_from_the_url_where_no_column_tells_it(tmp_path: Path) -> None:
    url = "https://a.org/2017/10/11/mill"
    rows = [{"text": "a", "url": url}, {"text": "b", "url": url, "date": "soon"}, {"text": "c", "date": "2001-02-03"}]
    documents, _ = ingested(write(tmp_path / "docs.jsonl", lines(*rows)))
    october = datetime.date(2017, 10, 11)
    assert [document.date for document in documents] == [october, october, datetime.date(2001, 2, 3)]


def test_columns_can_be_chosen_by_name(tmp_path: Path) -> None:
    row = {"body": "A mill.", "key": "k", "name": "n", "link": "https://a.org", "day": 20171011, "text": "not this"}
    chosen = {"text": "body", "id": "key", "title": "name", "url": "link", "date": "day"}
    options = {f"{role}_column": column for role, column in chosen.items()}
    (document,), _ = ingested(write(tmp_path / "docs.jsonl", lines(row)), **options)
    assert (document.text, document.doc_id, document.title, document.url) == ("A mill.", "k", "n", "https://a.org")
    assert document.date == datetime.date(2017, 10, 11)


@pytest.mark.parametrize("role", ["text", "id", "title", "url", "date"])
def test_a_wrong_column_name_is_one_line_that_lists_the_columns(tmp_path: Path, role: str) -> None:
    path = write(tmp_path / "docs.jsonl", lines({"text": "a"}, {"text": "b", "url": "u"}))
    parquet = tmp_path / "docs.parquet"
    pq.write_table(pa.table({"text": ["a"], "url": ["u"]}), parquet)
    for location in (path, parquet):
        with pytest.raises(ValueError, match=r"no column 'nope' in .*; its columns are: text, url") as caught:
            ingested(location, **{f"{role}_column": "nope"})
        assert "\n" not in str(caught.value)


def test_json_lines_may_be_packed(tmp_path: Path) -> None:
    content = lines({"text": "a"}, {"text": "b"})
    packed = {
        "a.jsonl": content,
        "b.ndjson": content,
        "c.json": content,
        "d.jsonl.gz": gzip.compress(content),
        "e.json.zst": zstandard.compress(content),
        "f.jsonl.gz": gzip.compress(content[:14]) + gzip.compress(content[14:]),
        "g.jsonl.zst": zstandard.compress(content[:14]) + zstandard.compress(content[14:]),
    }
    for name, written in packed.items():
        assert texts(write(tmp_path / name, written)) == ["a", "b"], name


def test_lines_longer_than_a_chunk_and_without_a_last_line_break_are_read(tmp_path: Path) -> None:
    long = "mill " * 300_000
    path = write(tmp_path / "docs.jsonl", lines({"text": long})[:-1])
    assert "".join(texts(path, max_text_tokens=100_000)) == long


def test_parquet_rows_are_read_in_order_and_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "docs.parquet"
    table = pa.table({"text": [f"mill {n}" for n in range(2_500)], "extra": [1] * 2_500})
    pq.write_table(table, path, row_group_size=700)
    documents, _ = ingested(path)
    assert [document.text for document in documents] == table["text"].to_pylist()
    assert documents[2_000].doc_id == f"{path}#2001"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_texts_may_be_of_any_string_type(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "docs.parquet"
    pq.write_table(pa.table({"text": pa.array(["a", "שלום", None], pa.string()).cast(kind)}), path)
    documents, dropped = ingested(path)
    assert [document.text for document in documents] == ["a", "שלום"]
    assert [row.reason for row in dropped] == ["missing_text"]


def test_parquet_dates_may_be_dates_or_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "docs.parquet"
    moment = datetime.datetime(2017, 10, 11, 14, tzinfo=datetime.UTC)
    pq.write_table(pa.table({"text": ["a"], "day": [moment.date()], "moment": [moment]}), path)
    for column in ("day", "moment"):
        (document,), _ = ingested(path, date_column=column)
        assert document.date == moment.date()


def test_a_text_file_is_one_document_to_the_letter(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"\xef\xbb\xbfOne.\r\n\r\nTwo.\n")
    write(tmp_path / "b.txt.gz", gzip.compress("שלום".encode()))
    write(tmp_path / "c.txt", "fünf".encode("latin-1"))
    documents, dropped = ingested(tmp_path)
    assert [document.text for document in documents] == ["One.\r\n\r\nTwo.\n", "שלום"]
    place = f"{tmp_path}/c.txt"
    assert [(row.reason, row.text_id) for row in dropped] == [
        ("invalid_utf8", f"{place}#1"),
        ("unusable_source", place),
    ]


def test_a_folder_is_read_in_sorted_order_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "b/10.jsonl", "a.jsonl", ".hidden.jsonl", "_temporary/x.jsonl", "README.md"):
        write(tmp_path / name, lines({"text": name}))
    assert texts(tmp_path) == ["a.jsonl", "b/10.jsonl", "b/2.jsonl"]


def test_a_glob_crosses_folders_only_with_two_stars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a1.jsonl", "a2.jsonl", "b/a3.jsonl", "b/c/a4.jsonl", "b/x.jsonl"):
        write(tmp_path / name, lines({"text": name}))
    assert texts(tmp_path / "a?.jsonl") == ["a1.jsonl", "a2.jsonl"]
    assert texts(tmp_path / "**/a*.jsonl") == ["a1.jsonl", "a2.jsonl", "b/a3.jsonl", "b/c/a4.jsonl"]
    assert texts(tmp_path / "*/a*.jsonl") == ["b/a3.jsonl"]
    monkeypatch.chdir(tmp_path)
    assert texts("*.jsonl") == ["a1.jsonl", "a2.jsonl"]
    assert texts("b/c") == ["b/c/a4.jsonl"]
    assert [source.name for source in find_sources(["**/a4.jsonl"])] == ["b/c/a4.jsonl"]


def test_a_file_whose_name_has_wildcards_in_it_is_that_file(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "what?.jsonl", lines({"text": "a"}))) == ["a"]


def test_uris_are_paths_too(tmp_path: Path) -> None:
    write(tmp_path / "docs-1.jsonl", lines({"text": "a"}))
    for location in (f"file://{tmp_path}", f"file://{tmp_path}/docs-1.jsonl", f"file://{tmp_path}/docs-*.jsonl"):
        (document,), _ = ingested(location)
        assert document.source == f"file://{tmp_path}/docs-1.jsonl"


def test_a_bucket_is_read_like_a_folder(tmp_path: Path, s3: S3Server) -> None:
    pq.write_table(pa.table({"text": ["c"]}), tmp_path / "c.parquet")
    objects = {
        "docs/a.jsonl": lines({"text": "a"}),
        "docs/b/b.jsonl.gz": gzip.compress(lines({"text": "b"})),
        "docs/c.parquet": (tmp_path / "c.parquet").read_bytes(),
        "other.jsonl": lines({"text": "other"}),
    }
    bucket = s3.make_bucket("corpora", objects)
    for location, expected in [
        ("docs", "abc"),
        ("docs/a.jsonl", "a"),
        ("docs/**/*.jsonl*", "ab"),
        ("docs/*.parquet", "c"),
    ]:
        documents, _ = ingested(s3.uri(bucket, location))
        assert "".join(document.text for document in documents) == expected
        assert all(document.source.startswith(f"s3://{bucket}/docs/") for document in documents)
    with pytest.raises(ValueError, match=rf"^corpus s3://{bucket}/nowhere does not exist$"):
        ingested(s3.uri(bucket, "nowhere"))


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path / "docs.jsonl", lines({"text": "a"}))
    documents, dropped = ingested(path, tmp_path, tmp_path / "*.jsonl")
    assert (len(documents), dropped) == (1, [])


def test_a_local_data_set_folder_is_read_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "set/train.jsonl", lines({"text": "a"}, {"text": "b"}))
    write(tmp_path / "set/test.jsonl", lines({"text": "c"}))
    documents, _ = ingested(f"hf:{tmp_path}/set")
    assert [document.text for document in documents] == ["a", "b"]
    assert documents[1].doc_id == f"hf:{tmp_path}/set::train#2"
    assert texts(f"hf:{tmp_path}/set::test") == ["c"]
    with pytest.raises(ValueError, match=r"no column 'nope' in hf:.*; its columns are: text"):
        ingested(f"hf:{tmp_path}/set", text_column="nope")


@pytest.mark.parametrize("location", ["hf:", "hf:a:b:c:d", "hf:no/such/folder/at/all"])
def test_a_data_set_that_cannot_be_loaded_is_one_line(location: str) -> None:
    with pytest.raises(ValueError, match="^data set hf:.*$"):
        ingested(location)


def test_bad_rows_are_dropped_with_file_and_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = [
        ("invalid_utf8", b'{"text": "\xff"}\n'),
        ("invalid_row", b'{"text": \n'),
        ("invalid_row", b'["text"]\n'),
        ("missing_text", lines({"text": None})),
        ("missing_text", lines({"title": "no text"})),
        ("missing_text", lines({"text": 5})),
        ("empty_text", lines({"text": " \n\t"})),
        ("invalid_utf8", b'{"text": "half \\ud800 of a pair"}\n'),
        ("invalid_row", b"[" * 100_000 + b"\n"),
    ]
    rows = [lines({"text": "a"}), *(row for _, row in bad), lines({"text": "b"})]
    path = write(tmp_path / "docs.jsonl", b"".join(rows))
    documents, dropped = ingested(path)
    assert [document.text for document in documents] == ["a", "b"]
    assert [row.reason for row in dropped] == [reason for reason, _ in bad]
    assert {row.reason for row in dropped} <= set(DROP_REASONS["ingest"])
    assert all((row.detail or "").startswith(f"{path}#{number}") for number, row in enumerate(dropped, 2))


def test_a_parquet_text_that_is_no_utf8_costs_only_its_row(tmp_path: Path) -> None:
    strings = pa.array([b"a", b"\xff\xfe", b"b"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": strings}), tmp_path / "docs.parquet")
    documents, dropped = ingested(tmp_path / "docs.parquet")
    assert [document.text for document in documents] == ["a", "b"]
    assert [(row.reason, row.text_id) for row in dropped] == [("invalid_utf8", f"{tmp_path}/docs.parquet#2")]


def test_equal_texts_are_kept_once_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "same", "id": "first"}, {"text": "other"}))
    write(tmp_path / "b.jsonl", lines({"text": "same", "id": "second"}, {"text": "same "}))
    documents, dropped = ingested(tmp_path)
    assert [document.text for document in documents] == ["same", "other", "same "]
    assert [(row.reason, row.text_id, row.detail) for row in dropped] == [("duplicate", documents[0].text_id, "second")]


def test_a_long_text_is_cut_and_its_parts_are_numbered(tmp_path: Path) -> None:
    text = "The mill ground 400 sacks of the town. " * 30
    documents, _ = ingested(write(tmp_path / "a.jsonl", lines({"text": text, "id": "x"})), max_text_tokens=50)
    assert "".join(document.text for document in documents) == text
    assert [document.part for document in documents] == list(range(len(documents)))
    assert {document.text_id[: -len(str(document.part))] for document in documents} == {documents[0].text_id[:-1]}
    assert {document.doc_id for document in documents} == {"x"}
    assert all(len(TOKENIZER.encode(document.text)) <= 50 for document in documents)


def test_shards_hold_as_many_texts_as_asked_and_the_texts_do_not_depend_on_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(*({"text": f"mill {n} " * 9} for n in range(7))))
    by_three = shards(path, shard_size=3, max_text_tokens=16)
    sizes = [len(shard.documents) for shard in by_three]
    assert set(sizes[:-1]) == {3} and 0 < sizes[-1] <= 3
    one = shards(path, max_text_tokens=16)
    assert len(one) == 1
    assert [row for shard in by_three for row in shard.documents] == one[0].documents


def test_reading_stops_after_as_many_documents_as_asked(tmp_path: Path) -> None:
    rows = [{"text": "a"}, {"text": "a"}, {"text": ""}, {"text": "b"}, {"text": "c"}]
    documents, dropped = ingested(write(tmp_path / "a.jsonl", lines(*rows)), max_documents=2)
    assert [document.text for document in documents] == ["a", "b"]
    assert [row.reason for row in dropped] == ["duplicate", "empty_text"]


def test_a_corpus_of_which_every_row_is_dropped_is_a_shard_of_drops(tmp_path: Path) -> None:
    (shard,) = shards(write(tmp_path / "a.jsonl", b"\xff\n"))
    assert shard.documents == [] and [row.reason for row in shard.dropped] == ["invalid_utf8", "unusable_source"]


@pytest.mark.parametrize(
    "name, content", [("a.jsonl", b""), ("a.jsonl", b"\n\n"), ("a.jsonl.gz", gzip.compress(b"", mtime=0))]
)
def test_an_empty_corpus_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(ValueError, match="^corpus .* is empty"):
        shards(write(tmp_path / name, content))


@pytest.mark.parametrize(
    "location, told",
    [
        ("{}/nowhere", "^corpus .*nowhere does not exist$"),
        ("{}", "^corpus .* holds no file with a known ending; known are .parquet"),
        ("{}/*.jsonl", r"^corpus .*\*.jsonl holds no file"),
        ("{}/a.pdf", r"^corpus .*a\.pdf has no known ending"),
        ("nosuch://bucket/x", "^corpus nosuch://bucket/x cannot be read: "),
    ],
)
def test_a_corpus_that_is_not_there_or_not_known_is_one_line(tmp_path: Path, location: str, told: str) -> None:
    write(tmp_path / "a.pdf", b"%PDF")
    with pytest.raises(ValueError, match=told):
        shards(location.format(tmp_path))


def test_a_file_that_is_no_parquet_is_found_before_the_first_row_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    write(tmp_path / "b.parquet", b"not Parquet")
    options = IngestOptions(corpus=(str(tmp_path),))
    with pytest.raises(ValueError, match=r"^.*b.parquet is no readable Parquet file: [^\n]*$"):
        ingest(options, TOKENIZER, 100)


def test_a_file_cut_short_is_one_line_after_what_could_be_read(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(lines({"text": f"mill {n * n}"}) for n in range(5_000)))
    write(tmp_path / "a.jsonl", lines({"text": "a"}))
    write(tmp_path / "b.jsonl.gz", packed[: len(packed) // 2])
    found = []
    with pytest.raises(ValueError, match=r"b.jsonl.gz cannot be read: "):
        for shard in ingest(IngestOptions(corpus=(str(tmp_path),), shard_size=1), TOKENIZER, 100):
            found += shard.documents
    assert found[0].text == "a"


@pytest.mark.parametrize(
    "options, named",
    [({"corpus": ()}, "corpus"), ({"shard_size": 0}, "shard_size is 0"), ({"max_documents": 0}, "max_documents is 0")],
)
def test_an_option_out_of_range_names_itself(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        IngestOptions(**{"corpus": ("a",), **options})
