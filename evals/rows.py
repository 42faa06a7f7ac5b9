"""Rows of evaluation data as dictionaries, whatever they are written in: JSON, JSON Lines, CSV, Parquet, or XML."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq

SUFFIXES = (".json", ".jsonl", ".csv", ".parquet", ".xml")
MAX_XML_BYTES = 50 * 2**20


def read_rows(location: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a file, of the files of a folder in order, or of a data set on the Hub (`name` or `name:split`).

    A row of a file in a folder has its stem as `_file`. Raises ValueError if there is nothing to read.
    """
    path = Path(location)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _suffix(file) in SUFFIXES)
        if not files:
            raise ValueError(f"{location} holds no file that ends in {', '.join(SUFFIXES)}")
        for file in files:
            yield from ({**row, "_file": file.name.partition(".")[0]} for row in _read_file(file))
    elif path.is_file():
        yield from _read_file(path)
    elif path.suffix or len(path.parts) > 2:
        raise ValueError(f"{location} is not there; give a file, a folder, or the name of a data set on the Hub")
    else:
        yield from _read_hub(location)


def _read_file(path: Path) -> Iterator[Mapping[str, Any]]:
    suffix = _suffix(path)
    try:
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
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())})") from error


def _rows_of_json(value: Any) -> Iterator[Mapping[str, Any]]:
    """A list of rows, or SQuAD's articles, whose paragraphs are the rows."""
    if isinstance(value, Mapping) and "data" in value:
        for article in value["data"]:
            yield from article["paragraphs"]
    else:
        yield from value


def _read_xml(text: str) -> Iterator[Mapping[str, Any]]:
    # Entities could be nested to blow up; evaluation data need none.
    if "<!ENTITY" in text or len(text) > MAX_XML_BYTES:
        raise ValueError("XML with entities, or of more than 50 MB, is not read")
    for problem in ElementTree.fromstring(text).iter("Problem"):  # noqa: S314 - entities are refused above
        yield {**problem.attrib, **{child.tag: child.text or "" for child in problem}}


def _read_hub(name: str) -> Iterator[Mapping[str, Any]]:
    import datasets  # type: ignore[import-untyped]  # seconds to import, and only needed here

    dataset, _, split = name.partition(":")
    try:
        yield from datasets.load_dataset(dataset, split=split or "test")
    except Exception as error:  # the libraries' errors share no base class
        raise ValueError(
            f"{name} is no file here, and the Hugging Face Hub has no such data set or cannot be reached "
            f"({type(error).__name__})"
        ) from error


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
