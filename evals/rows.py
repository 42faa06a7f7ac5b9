"""Reads rows of evaluation data as dictionaries, from JSON, JSON Lines, CSV, Parquet, or XML."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq

from toolformer_ray.records.errors import one_line

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".xml")
# A location with one of these is a file; other dots may be in a name on the Hub, such as `org/name-1.0`.
_SUFFIXES_OF_FILES = (*SUFFIXES, ".gz", ".zst", ".zip", ".txt", ".tsv")
MAX_XML_BYTES = 50 * 2**20


def read_rows(location: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a file, of the files of a folder in order, or of a data set on the Hub.

    The last is written `name`, `name:split` or `name:configuration:split`; without a split it is `test`.
    A row of a file in a folder has its stem as `_file`. Raises ValueError if there is nothing to read.
    """
    path, name = Path(location), Path(location.partition(":")[0])
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _suffix(file) in SUFFIXES)
        if not files:
            raise ValueError(f"{location} holds no file that ends in {', '.join(SUFFIXES)}")
        for file in files:
            yield from ({**row, "_file": file.name.partition(".")[0]} for row in _read_file(file))
    elif path.is_file():
        yield from _read_file(path)
    elif name.suffix in _SUFFIXES_OF_FILES or len(name.parts) > 2 or name.is_absolute() or location.startswith("."):
        raise ValueError(f"{location} is not there; give a file, a folder, or the name of a data set on the Hub")
    else:
        yield from _read_hub(location)


def _read_file(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        for row in _rows_in(path):
            if not isinstance(row, Mapping):
                raise ValueError(f"a row is {row!r:.40}, not an object with named values")
            yield row
    except (OSError, EOFError, ValueError, zlib.error, csv.Error, ElementTree.ParseError) as error:
        raise ValueError(f"{path} cannot be read ({one_line(error)})") from error


def _rows_in(path: Path) -> Iterator[Any]:
    suffix = _suffix(path)
    if suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
        return
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8-sig")
    if suffix == ".xml":
        yield from _read_xml(text)
    elif suffix == ".csv":
        yield from csv.DictReader(io.StringIO(text))
    elif suffix == ".jsonl":
        yield from (json.loads(line) for line in text.splitlines() if line.strip())
    else:
        yield from _rows_of_json(json.loads(text))


def _rows_of_json(value: Any) -> Iterator[Any]:
    """A list of rows, or SQuAD's articles, whose paragraphs are the rows."""
    rows = value.get("data") if isinstance(value, Mapping) else value
    if not isinstance(rows, list):
        raise ValueError(f"it holds neither a list of rows nor one under `data`: {value!r:.40}")
    for row in rows:
        yield from row["paragraphs"] if isinstance(row, Mapping) and "paragraphs" in row else [row]


def _read_xml(text: str) -> Iterator[Mapping[str, Any]]:
    # Entities could be nested to blow up; evaluation data need none.
    if "<!ENTITY" in text or len(text) > MAX_XML_BYTES:
        raise ValueError("XML with entities, or of more than 50 MB, is not read")
    for problem in ElementTree.fromstring(text).iter("Problem"):  # noqa: S314 - entities are refused above
        yield {**problem.attrib, **{child.tag: child.text or "" for child in problem}}


def _read_hub(location: str) -> Iterator[Mapping[str, Any]]:
    import datasets  # type: ignore[import-untyped]  # seconds to import, and only needed here

    name, *chosen = location.split(":")
    if len(chosen) > 2:
        raise ValueError(
            f"{location} has too many parts; a data set on the Hub is NAME, NAME:SPLIT or NAME:CONFIG:SPLIT"
        )
    configuration, split = [None, *chosen][-2:] if chosen else (None, None)
    try:
        yield from datasets.load_dataset(name, configuration, split=split or "test")
    except ValueError as error:
        # The data set is there; the library's message names its configurations or splits.
        remedy = "write NAME:SPLIT or NAME:CONFIG:SPLIT"
        raise ValueError(f"{location} cannot be read from the Hub ({one_line(error)}); {remedy}") from error
    except Exception as error:  # the libraries' errors share no base class
        raise ValueError(
            f"{location} is no file here, and the Hugging Face Hub has no such data set or cannot be reached "
            f"({type(error).__name__}: {one_line(error)[:200]})"
        ) from error


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
