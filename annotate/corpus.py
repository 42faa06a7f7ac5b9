"""Finds the sources of a corpus in what the user names: files, folders, globs, URIs, Hugging Face data sets.

| written | read as |
|---|---|
| `docs.parquet`, `docs.pq` | Parquet, one document a row |
| `docs.jsonl`, `.ndjson`, `.json` | JSON Lines, one document a line, or one array of objects |
| `page.txt` | plain text, the whole file one document |
| a name without an ending, `part-00000` | what its first bytes say: Parquet or JSON; anything else is left out |
| a folder, a glob | every such file in it and below, or that matches: `annotate/listing.py` |
| `hf:NAME[:CONFIG[:SPLIT]]` | a Hugging Face data set, streamed; CONFIG may be empty, SPLIT is `train` if left out |

After an ending may stand `.gz`, `.zst`, `.bz2`, `.xz` or `.lz4`, and capitals do not matter. Paths are local or of any
scheme that pyarrow.fs knows (`s3://`, `gs://`, `file://`). Files are read in sorted order.
"""

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
from pyarrow import fs

from toolformer_ray.annotate.listing import (
    WILDCARD,
    Listed,
    before_wildcard,
    files_below,
    files_matching,
    is_utf8,
    shown,
)
from toolformer_ray.annotate.reading.file import PACKED_ENDINGS, FileSource
from toolformer_ray.annotate.reading.hub import HubSource
from toolformer_ray.annotate.reading.json_rows import JsonSource
from toolformer_ray.annotate.reading.parquet import ParquetSource
from toolformer_ray.annotate.reading.source import Source
from toolformer_ray.annotate.reading.text import TextSource
from toolformer_ray.records.errors import first_line
from toolformer_ray.records.locations import without_keys

HUB_PREFIX = "hf:"
MAX_COLUMNS_NAMED = 30
_SourceKind = type[ParquetSource] | type[JsonSource] | type[TextSource]
_KINDS: dict[str, _SourceKind] = {
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
    ".jsonl": JsonSource,
    ".ndjson": JsonSource,
    ".json": JsonSource,
    ".txt": TextSource,
}
_KNOWN = f"known are {', '.join(_KINDS)} (the last four also with .gz, .zst, .bz2, .xz or .lz4)"
_BEGINNINGS: tuple[tuple[re.Pattern[bytes], _SourceKind], ...] = (
    (re.compile(rb"PAR1"), ParquetSource),
    (re.compile(rb"\s*(?:\[\s*)?\{\s*[\"}]"), JsonSource),
)
_FILES_AT_ONCE = 16


@dataclass(frozen=True)
class Corpus:
    """What the locations of a corpus hold."""

    sources: Sequence[Source]
    left_out: Sequence[str] = field(default_factory=list)
    """Files in folders and globs, as they can be printed, that are of no known kind. Hidden ones are not among them."""


def find_corpus(locations: Iterable[str]) -> Corpus:
    """Every source of a corpus, in the order of the locations and sorted within each; a file named twice counts once.

    Raises ValueError for a location that does not exist or holds nothing readable.
    """
    sources: dict[str, Source] = {}
    left_out: list[str] = []
    for location in locations:
        found = _find(location)
        for source in found.sources:
            sources.setdefault(source.place, source)
        left_out += found.left_out
    if not sources:
        raise ValueError("no corpus is given; name files, folders, globs or hf:NAME")
    return Corpus(list(sources.values()), left_out)


def find_sources(locations: Iterable[str]) -> Sequence[Source]:
    """The sources of a corpus alone."""
    return find_corpus(locations).sources


def place_of(name: str) -> str:
    """Where a source is that has this name here: the `place` of `find_corpus`' sources."""
    if name.startswith(HUB_PREFIX):
        return HubSource.parse(name.removeprefix(HUB_PREFIX)).place
    if "://" in name and not name.startswith("file://"):
        return name.replace("gs://", "gcs://", 1)
    return os.path.realpath(name.removeprefix("file://"))


def check_columns(sources: Sequence[Source], wanted: Sequence[str]) -> None:
    """Raise ValueError if a source is unreadable or lacks a wanted column, as far as this can be told quickly.

    Every Parquet file's footer is read, and of the first source of every other kind as much as shows all columns.
    """
    others = {type(source): source for source in reversed(sources) if not isinstance(source, ParquetSource)}
    to_check = [source for source in sources if isinstance(source, ParquetSource) or others[type(source)] is source]
    with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
        found = threads.map(
            lambda source: source.columns([name for name in wanted if name not in source.given]), to_check
        )
        for source, columns in zip(to_check, found, strict=True):
            for column in wanted:
                if columns is not None and column not in columns and column not in source.given:
                    raise ValueError(f"no column {column!r} in {source.name}; its columns are: {_listed(columns)}")


def _find(location: str) -> Corpus:
    if location.startswith(HUB_PREFIX):
        return Corpus([HubSource.parse(location.removeprefix(HUB_PREFIX))])
    if not is_utf8(location):
        raise ValueError(f"corpus {shown(location)} has a name that is no UTF-8: rename it")
    try:
        return _find_files(location)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"corpus {without_keys(location)} cannot be read: {without_keys(first_line(error))}"
        ) from error


def _find_files(location: str) -> Corpus:
    filesystem, path, prefix = _open(location)
    info, told = filesystem.get_file_info(path), f"corpus {without_keys(location)}"
    if info.type == fs.FileType.File:
        listed = [Listed(path)]
    elif info.type == fs.FileType.Directory:
        listed = files_below(filesystem, path)
    elif WILDCARD.search(path):
        listed = files_matching(filesystem, path)
    else:
        raise ValueError(f"{told} does not exist")
    files = [FileSource(filesystem, file.path, prefix + file.path) for file in listed]
    with ThreadPoolExecutor(_FILES_AT_ONCE) as threads:
        kinds = list(threads.map(_kind, files, listed))
    if info.type == fs.FileType.File and kinds == [None]:
        raise ValueError(f"{told} has no known ending; {_KNOWN}")
    for file, found, kind in zip(files, listed, kinds, strict=True):
        if kind and found.fault:
            raise ValueError(f"{shown(file.name)} {found.fault}")
    sources = [kind(**vars(file)) for file, kind in zip(files, kinds, strict=True) if kind]
    if not sources:
        raise ValueError(f"{told} holds no file with a known ending; {_KNOWN}")
    return Corpus(sources, [shown(file.name) for file, kind in zip(files, kinds, strict=True) if not kind])


def _kind(file: FileSource, listed: Listed) -> _SourceKind | None:
    """What a file is read as, by its ending, or by its first bytes if it has none; None if it is not read."""
    ending = _ending(file.path)
    if (ending and not ending[1:].isdigit()) or listed.fault:
        return _KINDS.get(ending)
    beginning = file.first_bytes()
    return next((kind for pattern, kind in _BEGINNINGS if pattern.match(beginning)), None)


def _open(location: str) -> tuple[fs.FileSystem, str, str]:
    """(filesystem, path on it, what stands before a path in the user's spelling)."""
    if "://" not in location:
        return fs.LocalFileSystem(), os.path.expanduser(location).rstrip("/") or "/", ""  # noqa: PTH111
    # After a question mark follow options of the filesystem, such as a region. Wildcards need not be legal in a URI, so
    # only what stands before the first one is parsed as one.
    spelled, mark, options = location.partition("?")
    root = before_wildcard(spelled)
    filesystem, root_path = fs.FileSystem.from_uri(root + mark + options)
    path = (root_path.rstrip("/") + "/" + spelled[len(root) :].lstrip("/")).rstrip("/")
    return filesystem, path, location.split("://")[0] + "://"


def _ending(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    for packed in PACKED_ENDINGS:
        name = name.removesuffix(packed)
    dot = name.rfind(".")
    return name[dot:] if dot > 0 else ""


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - MAX_COLUMNS_NAMED:,} more" if len(columns) > MAX_COLUMNS_NAMED else ""
    return ", ".join(columns[:MAX_COLUMNS_NAMED]) + more
