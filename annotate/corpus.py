"""Finds the sources of a corpus in what the user names: files, folders, globs, URIs, Hugging Face data sets.

| written | read as |
|---|---|
| `docs.parquet`, `docs.pq` | Parquet, one document a row |
| `docs.jsonl`, `.ndjson`, `.json` | JSON Lines, one document a line; also with `.gz` or `.zst` after it |
| `page.txt` | plain text, the whole file one document; also with `.gz` or `.zst` after it |
| a folder | every such file in it and below, hidden ones (`.x`, `_x`) left out |
| a glob, `data/**/*.jsonl.gz` | the files that match; `**` crosses folders |
| `hf:NAME[:CONFIG[:SPLIT]]` | a Hugging Face data set, streamed; CONFIG may be empty, SPLIT is `train` if left out |

Paths are local or of any scheme that pyarrow.fs knows (`s3://`, `gs://`, `file://`). Files are read in sorted order.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from pyarrow import fs

from toolformer_ray.annotate.hub import HubSource
from toolformer_ray.annotate.sources import LinesSource, ParquetSource, Source, TextSource
from toolformer_ray.records.errors import first_line
from toolformer_ray.records.locations import without_keys

HUB_PREFIX = "hf:"
_COMPRESSIONS = (".gz", ".zst")
_SOURCES: dict[str, type[ParquetSource] | type[LinesSource] | type[TextSource]] = {
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
    ".jsonl": LinesSource,
    ".ndjson": LinesSource,
    ".json": LinesSource,
    ".txt": TextSource,
}
_WILDCARD = re.compile(r"[*?]")
_CHECKS_IN_FLIGHT = 16


def find_sources(locations: Iterable[str]) -> list[Source]:
    """Every source of a corpus, in the order of the locations and sorted within each; a file named twice counts once.

    Raises ValueError for a location that does not exist or holds nothing readable.
    """
    found: dict[str, Source] = {}
    for location in locations:
        for source in _sources_of(location):
            found.setdefault(source.name, source)
    if not found:
        raise ValueError("no corpus is given; name files, folders, globs or hf:NAME")
    return list(found.values())


def check_columns(sources: Sequence[Source], wanted: Sequence[str]) -> None:
    """Raise ValueError if a source is unreadable or lacks a wanted column, as far as this can be told quickly.

    Every Parquet file's footer is read, and the beginning of the first source of every other kind.
    """
    others = {type(source): source for source in reversed(sources) if not isinstance(source, ParquetSource)}
    to_check = [source for source in sources if isinstance(source, ParquetSource) or others[type(source)] is source]
    with ThreadPoolExecutor(_CHECKS_IN_FLIGHT) as threads:
        for source, columns in zip(to_check, threads.map(lambda source: source.columns(), to_check), strict=True):
            for column in wanted:
                if columns is not None and column not in columns:
                    raise ValueError(f"no column {column!r} in {source.name}; its columns are: {', '.join(columns)}")


def _sources_of(location: str) -> list[Source]:
    if location.startswith(HUB_PREFIX):
        return [HubSource.parse(location.removeprefix(HUB_PREFIX))]
    try:
        return _file_sources(location)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"corpus {without_keys(location)} cannot be read: {without_keys(first_line(error))}"
        ) from error


def _file_sources(location: str) -> list[Source]:
    filesystem, path, prefix = _open(location)
    info, shown = filesystem.get_file_info(path), f"corpus {without_keys(location)}"
    known = f"known are {', '.join(_SOURCES)} (the last four also with .gz or .zst)"
    if info.type == fs.FileType.File:
        if _suffix(path) not in _SOURCES:
            raise ValueError(f"{shown} has no known ending; {known}")
        paths = [path]
    elif info.type == fs.FileType.Directory:
        paths = [path for path in _files_below(filesystem, path) if not _is_hidden(path, info.path)]
    elif _WILDCARD.search(path):
        paths = _matching_files(filesystem, path)
    else:
        raise ValueError(f"{shown} does not exist")
    readable = sorted(path for path in paths if _suffix(path) in _SOURCES)
    if not readable:
        raise ValueError(f"{shown} holds no file with a known ending; {known}")
    return [_SOURCES[_suffix(path)](filesystem=filesystem, path=path, name=prefix + path) for path in readable]


def _open(location: str) -> tuple[fs.FileSystem, str, str]:
    """(filesystem, path on it, what stands before a path in the user's spelling)."""
    if "://" not in location:
        return fs.LocalFileSystem(), location.rstrip("/") or "/", ""
    # After a question mark follow options of the filesystem, such as a region. Wildcards need not be legal in a URI, so
    # only what stands before the first one is parsed as one.
    spelled, mark, options = location.partition("?")
    root = _before_wildcard(spelled)
    filesystem, root_path = fs.FileSystem.from_uri(root + mark + options)
    path = (root_path.rstrip("/") + "/" + spelled[len(root) :].lstrip("/")).rstrip("/")
    return filesystem, path, location.split("://")[0] + "://"


def _before_wildcard(path: str) -> str:
    match = _WILDCARD.search(path)
    return path if match is None else path[: path.rfind("/", 0, match.start()) + 1]


def _files_below(filesystem: fs.FileSystem, folder: str) -> list[str]:
    selector = fs.FileSelector(folder or ".", recursive=True, allow_not_found=True)
    return [info.path for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]


def _matching_files(filesystem: fs.FileSystem, pattern: str) -> list[str]:
    folder = _before_wildcard(pattern)
    # pyarrow lists files of the working folder as "./x"; the user wrote no "./".
    paths = [path.removeprefix("./") if not folder else path for path in _files_below(filesystem, folder)]
    return [path for path in paths if _glob_expression(pattern).fullmatch(path)]


@functools.cache
def _glob_expression(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay within a folder, `**/` stands for any number of folders, none included."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    meanings = {"**/": r"(?:.*/)?", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return re.compile("".join(meanings.get(part) or re.escape(part) for part in parts), re.DOTALL)


def _suffix(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    dot = name.rfind(".")
    return name[dot:] if dot > 0 else ""


def _is_hidden(path: str, folder: str) -> bool:
    return any(part.startswith((".", "_")) for part in path[len(folder) :].split("/"))
