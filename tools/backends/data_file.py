"""Reads the data of a tool, rows of named text columns: passages, questions and answers, a glossary.

Formats are `.jsonl`, `.tsv` and `.csv` (both with a header line and CSV's quoting), each also with `.gz` or `.zst`, and
`.parquet`. A location is a path or a URI that pyarrow knows (`s3://`, `gs://`). All errors are ValueErrors of one line.
"""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from pyarrow import fs

from toolformer_ray.records.errors import one_line

LINE_FORMATS = (".jsonl", ".tsv", ".csv")
UNREADABLE = (
    *(OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError),
    *(csv.Error, zstandard.ZstdError, pa.ArrowException),
)
MAX_FIELD_CHARS = 10_000_000


def read_columns(path: str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The given columns of every row, as text. A null becomes an empty string, a list its first entry."""
    number = 0
    try:
        with _open(path) as file:
            for number, row in enumerate(_rows(path, file, columns), 1):
                yield tuple(_text(row, column, path, number) for column in columns)
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist") from error
    except UNREADABLE as error:
        raise ValueError(f"cannot read {path} after row {number}: {one_line(error)}") from error


def hash_file(path: str) -> str:
    """SHA-256 of the file's bytes, in hex. Raises ValueError if it cannot be read."""
    try:
        with _open(path) as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def _open(path: str) -> IO[bytes]:
    if "://" in path:
        filesystem, inner_path = fs.FileSystem.from_uri(path)
        return cast(IO[bytes], filesystem.open_input_file(inner_path))
    return Path(path).open("rb")


def _rows(path: str, file: IO[bytes], columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    name = path.lower()
    if name.endswith(".parquet"):
        return _parquet_rows(path, file, columns)
    if name.endswith(".gz"):
        file = cast(IO[bytes], gzip.GzipFile(fileobj=file))
    elif name.endswith(".zst"):
        file = cast(IO[bytes], zstandard.ZstdDecompressor().stream_reader(file))
    plain_name = name.removesuffix(".gz").removesuffix(".zst")
    if not plain_name.endswith(LINE_FORMATS):
        raise ValueError(f"{path} is none of .jsonl, .tsv, .csv (plain, .gz or .zst) and .parquet")
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="" if plain_name.endswith("sv") else "\n")
    if plain_name.endswith(".jsonl"):
        return (json.loads(line) for line in lines if not line.isspace())
    csv.field_size_limit(MAX_FIELD_CHARS)
    return csv.DictReader(lines, delimiter="\t" if plain_name.endswith(".tsv") else ",")


def _parquet_rows(path: str, file: IO[bytes], columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    parquet = pq.ParquetFile(file)
    names = parquet.schema_arrow.names
    for column in columns:
        _require(column, names, path)
    for batch in parquet.iter_batches(columns=list(columns)):
        yield from batch.to_pylist()


def _text(row: Mapping[str, Any], column: str, path: str, number: int) -> str:
    if not isinstance(row, Mapping):
        raise ValueError(f"row {number} of {path} is no JSON object")
    _require(column, list(row), path)
    value = row[column]
    if isinstance(value, list):
        value = value[0] if value else ""
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _require(column: str, names: Sequence[str], path: str) -> None:
    if column not in names:
        raise ValueError(f"{path} has no column {column!r}; its columns are {', '.join(map(str, names))}")
