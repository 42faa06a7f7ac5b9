"""One odd value costs its row at most, and that only if it is the text. Ids are kept to the letter."""

import datetime
import decimal
import json
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.corpora import ingested, lines, texts, write
from toolformer_ray.annotate.corpus import check_columns, find_sources
from toolformer_ray.records.stages import Document

OCTOBER_11 = datetime.date(2017, 10, 11)
NO_UTF8 = pa.array([b"\xff", b"b"], pa.binary()).view(pa.string())


def parquet(path: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def documents_of(path: Path, **options: object) -> list[Document]:
    documents, dropped = ingested(path, **options)
    assert dropped == []
    return documents


@pytest.mark.parametrize(
    "column, dates",
    [
        (pa.array([9_999_999, 17_450], pa.int32()).cast(pa.date32()), [None, OCTOBER_11]),
        (pa.array([-9_999_999, 17_450], pa.int32()).cast(pa.date32()), [None, OCTOBER_11]),
        (pa.array([10**17, 1507680000000], pa.int64()).cast(pa.date64()), [None, OCTOBER_11]),
        (pa.array([10**14, 1507680000], pa.timestamp("s")), [None, OCTOBER_11]),
        (pa.array([1507680000000000001, None], pa.timestamp("ns")), [OCTOBER_11, None]),
        (pa.array([-(2**62), 1507680000000000], pa.timestamp("us", tz="Asia/Tokyo")), [None, OCTOBER_11]),
        (pa.array([1507676400000, 1507758300000], pa.timestamp("ms", tz="Europe/Berlin")), [OCTOBER_11] * 2),
        (pa.array([1507680000, 1507766399], pa.timestamp("s", tz="psycopg2.tz.Fixed")), [OCTOBER_11] * 2),
        (pa.array([20171011.0, None]), [OCTOBER_11, None]),
        (pa.array([20171011, 20171011123045]), [OCTOBER_11] * 2),
        (pa.array([decimal.Decimal(20171011), decimal.Decimal(7)], pa.decimal128(38, 0)), [OCTOBER_11, None]),
        (pa.array([b"2017-10-11", b"\xff"], pa.binary()), [OCTOBER_11, None]),
        (NO_UTF8, [None, None]),
        (pa.array([{"$date": "2017-10-11"}, None]), [None, None]),
        (pa.array([1, 2], pa.duration("s")), [None, None]),
        (pa.array([True, False]), [None, None]),
    ],
)
def test_a_date_that_python_cannot_express_is_none_for_its_row(
    tmp_path: Path, column: pa.Array, dates: list[object]
) -> None:
    path = parquet(tmp_path / "a.parquet", text=["a", "b"], date=column)
    assert [document.date for document in documents_of(path)] == dates


@pytest.mark.parametrize(
    "odd",
    [
        NO_UTF8,
        NO_UTF8.dictionary_encode(),
        pa.array([[b"\xff"], []], pa.list_(pa.binary())).view(pa.list_(pa.string())),
        pa.array([{"x": b"\xff"}, None], pa.struct([("x", pa.binary())])).view(pa.struct([("x", pa.string())])),
        pa.array([9_999_999, 1], pa.int32()).cast(pa.date32()),
        pa.array([2**62, 1], pa.duration("s")),
    ],
)
@pytest.mark.parametrize("column", ["unwanted", "title", "url", "id", "date"])
def test_an_odd_value_of_any_column_costs_no_row(tmp_path: Path, odd: pa.Array, column: str) -> None:
    path = parquet(tmp_path / "a.parquet", **{"text": ["a", "b"], column: odd})
    assert [document.text for document in documents_of(path)] == ["a", "b"]


def test_a_line_is_read_though_other_columns_are_no_utf8_or_too_long_a_number(tmp_path: Path) -> None:
    digits = b"7" * 5_000
    content = b"".join(
        [
            b'{"text": "a", "title": "M\xfchle", "tags": ["\xff", {"x": "\xfe"}]}\n',
            b'{"text": "b", "id": ' + digits + b"}\n",
            b'{"text": "c", "n": 1e400, "title": NaN}\n',
            b'{"text": "\xff"}\n',
        ]
    )
    for name in ("a.jsonl", "a.json"):
        as_array = b"[" + content.strip().replace(b"\n", b",\n") + b"]"
        documents, dropped = ingested(write(tmp_path / name, content if name == "a.jsonl" else as_array))
        assert [(document.text, document.title) for document in documents] == [("a", "M?hle"), ("b", None), ("c", None)]
        assert documents[1].doc_id == digits.decode()
        assert [drop.reason for drop in dropped] == ["invalid_utf8"]


def test_a_damaged_column_is_named_with_its_file_and_row_group(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"text": [f"mill {n}" for n in range(40)], "title": [f"a title {n}" for n in range(40)]})
    pq.write_table(table, path, row_group_size=20, compression="zstd", use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(1).column(1)
    content = bytearray(path.read_bytes())
    begin = chunk.data_page_offset
    content[begin + 30 : begin + chunk.total_compressed_size] = b"\0" * (chunk.total_compressed_size - 30)
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"a.parquet cannot be read past row 20 \(row group 1, column 'title'\): [^\n]+$"
    ):
        ingested(path)


def test_a_column_whose_name_is_no_utf8_is_told_without_a_codec(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["a"], xyxy=["b"])
    path.write_bytes(path.read_bytes().replace(b"xyxy", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(ValueError, match=r"a.parquet cannot be read: the name of a column is no UTF-8, rename it$"):
        ingested(path)


@pytest.mark.parametrize(
    "column, ids",
    [
        (pa.array([decimal.Decimal(2**64 - 1), decimal.Decimal(1)], pa.decimal128(20, 0)), [str(2**64 - 1), "1"]),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.00")], pa.decimal128(9, 2)), ["1.50", "-2.00"]),
        (pa.array([uuid.UUID(int=5).bytes, None], pa.uuid()), [str(uuid.UUID(int=5)), None]),
        (pa.array([b"\xff" * 16, b"\xfe" * 16], pa.binary(16)), ["ff" * 16, "fe" * 16]),
        (pa.array([2**64 - 1, 0], pa.uint64()), [str(2**64 - 1), "0"]),
        (pa.array([1.5, float("nan")]), ["1.5", None]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([{"$oid": "5f"}, {"$oid": "60"}]), ['{"$oid": "5f"}', '{"$oid": "60"}']),
        (pa.array([[1, 2], [3]]), ["[1, 2]", "[3]"]),
        (pa.array([17_450, 0], pa.int32()).cast(pa.date32()), ["2017-10-11", "1970-01-01"]),
        (pa.array(["k", "0007"]).dictionary_encode(), ["k", "0007"]),
    ],
)
def test_parquet_ids_are_kept_to_the_letter(tmp_path: Path, column: pa.Array, ids: list[str | None]) -> None:
    path = parquet(tmp_path / "a.parquet", text=["a", "b"], k=column)
    expected = [wanted or f"{path}#{number}" for number, wanted in enumerate(ids, 1)]
    assert [document.doc_id for document in documents_of(path, id_column="k")] == expected


def test_json_ids_are_kept_to_the_letter(tmp_path: Path) -> None:
    written = ["1.10", "1e5", "18446744073709551616", "-0.0", "true", '{"$oid": "5f"}', "[1, 2.5]", '"0007"', "1E400"]
    content = "".join(f'{{"text": "{n}", "id": {value}}}\n' for n, value in enumerate([*written, "NaN", "null"]))
    path = write(tmp_path / "a.jsonl", content.encode())
    expected = [value.strip('"') if value.startswith('"') else value for value in written]
    found = [document.doc_id for document in documents_of(path)]
    assert found == [*expected, f"{path}#10", f"{path}#11"]


def test_a_column_may_begin_late(tmp_path: Path) -> None:
    rows = [{"text": f"mill {n}"} for n in range(5_000)] + [{"text": "late", "published": "2017-10-11"}]
    for name, content in {"a.jsonl": lines(*rows), "b.json": json.dumps(rows).encode()}.items():
        path = write(tmp_path / name, content)
        check_columns(find_sources([str(path)]), ["text", "published"])
        assert documents_of(path, date_column="published")[-1].date == OCTOBER_11
        with pytest.raises(ValueError, match="no column 'nope' in .*; its columns are: text, published"):
            check_columns(find_sources([str(path)]), ["text", "nope"])


def test_folders_named_as_hive_does_say_what_their_files_do_not(tmp_path: Path) -> None:
    rows = {
        "date=2017-10-11/a.jsonl": {"text": "a"},
        "date=2017-10-11/b.jsonl": {"text": "b", "date": "2001-02-03"},
        "date=2017-10-11/c.jsonl": {"text": "c", "date": "soon"},
        "date=__HIVE_DEFAULT_PARTITION__/d.jsonl": {"text": "d"},
        "year=2017/month=10/day=9/e.jsonl": {"text": "e"},
        "title=The%20mill/date=20171011/f.txt": {"text": "f"},
    }
    for name, row in rows.items():
        write(tmp_path / name, row["text"].encode() if name.endswith(".txt") else lines(row))
    found = {document.text: document for document in documents_of(tmp_path)}
    assert {text: document.date for text, document in found.items()} == {
        "a": OCTOBER_11,
        "b": datetime.date(2001, 2, 3),
        "c": OCTOBER_11,
        "d": None,
        "e": datetime.date(2017, 10, 9),
        "f": OCTOBER_11,
    }
    assert found["f"].title == "The mill"


def test_a_folder_may_give_the_column_that_an_option_names(tmp_path: Path) -> None:
    (tmp_path / "dt=2017-10-11").mkdir()
    path = parquet(tmp_path / "dt=2017-10-11" / "a.parquet", text=["a"])
    (document,) = documents_of(path, date_column="dt")
    assert document.date == OCTOBER_11


def test_a_data_set_is_read_whatever_is_in_columns_that_nobody_asked_for(tmp_path: Path) -> None:
    picture = pa.array([{"bytes": b"no picture", "path": None}] * 2)
    far = pa.array([9_999_999, 17_450], pa.int32()).cast(pa.date32())
    declared = {name: {"_type": kind} for name, kind in (("image", "Image"), ("audio", "Audio"))}
    declared |= {"text": {"dtype": "string", "_type": "Value"}, "date": {"dtype": "date32", "_type": "Value"}}
    table = pa.table({"text": ["a", "b"], "date": far, "image": picture, "audio": picture})
    features = json.dumps({"info": {"features": declared}})
    (tmp_path / "set").mkdir()
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "set" / "train.parquet")
    documents, dropped = ingested(f"hf:{tmp_path}/set")
    assert [(document.text, document.date) for document in documents] == [("a", None), ("b", OCTOBER_11)]
    assert dropped == []


def test_texts_that_look_alike_to_python_are_read_as_they_are(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=pa.array(["a", "b"]).dictionary_encode(), extra=NO_UTF8)
    assert texts(path) == ["a", "b"]
