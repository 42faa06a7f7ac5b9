"""Reading and writing the shards of one run folder, on a local disk or in `s3://` or `gs://` alike.

A shard is one Parquet file in each table, under the same name. It appears under its name only when it is complete
(`records.storage`), so a file that is there is done. Its footer holds a header (`records.shard_header`): fingerprints
of what it was made from and of its rows, and a few counts, all of which can be read without reading a row. Its pages
have checksums, and reading the rows compares them with their fingerprint, so that no row is ever read from a damaged
file.
"""

import dataclasses
import errno
import itertools
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.records.counts import Count
from toolformer_ray.records.errors import UnusableError, one_line
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.schema import Record, RecordT, from_plain, is_readable, to_table
from toolformer_ray.records.shard_header import (
    ShardHeader,
    find_header,
    fingerprint_content,
    from_metadata,
    to_metadata,
)
from toolformer_ray.records.storage import NOT_A_FILE, TEMPORARY_SUFFIX, open_storage

RUN_FILE = "run.json"
"""What a run was made with: written by `workflow.book.settings`, and read wherever a run is opened."""
COMPRESSION: Literal["zstd"] = "zstd"
# A header is a few hundred bytes, so reading one from an object store is all latency: many are fetched at once.
HEADER_THREADS = 16
MAX_HEADERS_AT_ONCE = 64
"""Per task of a thread: on a disk, handing a task to a thread takes longer than reading a header."""
FOOTER_BYTES = 64 * 2**10
"""Read from the end of a file to get its footer; enough for all but the widest tables."""


class DamagedError(pa.ArrowInvalid):
    """A file does not hold what was written to it. The message is one line that names it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableHeaders:
    """The headers of all shards of a table."""

    by_shard: Mapping[str, ShardHeader]
    damaged: Sequence[str]
    """Paths that are named like a shard but have no header: truncated, empty, no file, or not of this program. They are
    treated as missing."""


def shard_name(number: int) -> str:
    """The name that a shard has in every table: `part-00042` for 42."""
    return f"part-{number:05d}"


class RunFolder:
    """One run folder. `location` is a local path or a URI such as `s3://bucket/runs/one`."""

    def __init__(self, location: str) -> None:
        self._storage, self.root = open_storage(location)
        # A worker has another working directory than the driver, so the location that is sent to it is absolute.
        self.location = location if "://" in location else self.root
        self.shown = without_keys(self.location)
        """The location as it may be printed."""

    def __reduce__(self) -> tuple[type["RunFolder"], tuple[str]]:
        return RunFolder, (self.location,)

    @property
    def filesystem(self) -> pa.fs.FileSystem:
        """The file system on which `paths` are."""
        return self._storage.filesystem

    def create(self) -> None:
        """Make the folder and check that files can be written to it. Raises OSError if not."""
        # The file is not empty, since a full disk accepts empty files.
        self._storage.write(self._path("write-test" + TEMPORARY_SUFFIX), b"write-test")
        self.delete("write-test" + TEMPORARY_SUFFIX)

    def is_there(self) -> bool:
        """Whether there is a folder, empty or not."""
        return self._storage.is_folder(self.root)

    def remove(self, names: Iterable[str]) -> None:
        """Delete files of these names, and then the folder if nothing else is in it."""
        for name in names:
            self.delete(name)
        self._storage.remove_empty(self.root)

    def write_shard(
        self,
        table: str,
        shard: str,
        record: type[RecordT],
        rows: Iterable[RecordT],
        *,
        fingerprint: str,
        counts: Mapping[Count, int],
        parts: Mapping[str, str] = MappingProxyType({}),
    ) -> ShardHeader:
        """Write a shard, replacing any of that name, and return its header.

        Raises pyarrow.ArrowInvalid if a row does not fit the record's schema, and OSError if it cannot be written. An
        older shard is then left as it was.
        """
        content = to_table(record, rows)
        header = ShardHeader(
            fingerprint=fingerprint,
            counts=dict(counts),
            content=fingerprint_content(content.column_names, content.to_pylist()),
            parts=dict(parts),
        )
        sink = pa.BufferOutputStream()
        content = content.replace_schema_metadata(to_metadata(header))
        pq.write_table(content, sink, compression=COMPRESSION, write_page_checksum=True)
        self._storage.write(self._path(f"{table}/{shard}.parquet"), sink.getvalue())
        return header

    def read_shard(self, table: str, shard: str, record: type[RecordT]) -> list[RecordT]:
        """The rows of a shard. Raises FileNotFoundError if it is not there, DamagedError if it is damaged."""
        return list(from_plain(record, self._read(table, shard, record)[0]))

    def check_shard(self, table: str, shard: str, record: type[Record]) -> ShardHeader:
        """The header of a shard, after its rows were checked. Raises as `read_shard` does."""
        return self._read(table, shard, record)[1]

    def _read(self, table: str, shard: str, record: type[Record]) -> tuple[list[dict[str, Any]], ShardHeader]:
        name = f"{table}/{shard}.parquet"
        content = self._storage.read(self._path(name))
        try:
            return _parse(content, record)
        # The bytes are in memory, so any error is an error in them.
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DamagedError(f"{self.shown}/{name} is damaged: {one_line(error)}") from error

    def header(self, table: str, shard: str) -> ShardHeader | None:
        """The header of a shard, read from its footer alone; None if the shard is missing or damaged."""
        return self._read_header(self._path(f"{table}/{shard}.parquet"))

    def headers(self, table: str) -> TableHeaders:
        """The headers of all shards of a table, read from their footers."""
        paths = [path for path, _ in self._listed(table, ".parquet")]
        size = min(MAX_HEADERS_AT_ONCE, 1 + len(paths) // HEADER_THREADS)
        portions = [paths[start : start + size] for start in range(0, len(paths), size)]
        with ThreadPoolExecutor(HEADER_THREADS) as threads:
            read = threads.map(lambda portion: list(map(self._read_header, portion)), portions)
            found = dict(zip(paths, itertools.chain.from_iterable(read), strict=True))
        return TableHeaders(
            by_shard={shard_of(path): header for path, header in found.items() if header},
            damaged=[self._shown(path) for path, header in found.items() if not header],
        )

    def shards(self, table: str, suffix: str = ".parquet") -> list[str]:
        """The names of a table's shards, in order, including damaged ones, since no file is opened."""
        return [shard_of(path) for path, is_file in self._listed(table, suffix) if is_file]

    def paths(self, table: str) -> list[str]:
        """The paths of a table's shards as `filesystem` takes them, in order."""
        return [path for path, is_file in self._listed(table, ".parquet") if is_file]

    def write_json(self, name: str, value: object, *, is_lasting: bool = False) -> None:
        """Write a JSON file, such as `run.json` or `failed/score/part-00003.json`.

        `is_lasting` is for files without which a run could not be resumed: they survive a power cut (`Disk.write`).
        """
        content = json.dumps(value, indent=2, ensure_ascii=False).encode()
        self._storage.write(self._path(name), content, is_lasting=is_lasting)

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; None if it is not there. Raises UnusableError if it is not JSON."""
        try:
            return json.loads(self._storage.read(self._path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            told = f"{self.shown}/{name} is not JSON ({one_line(error)})"
            raise UnusableError(f"{told}; delete it or use another `run`") from error

    def delete(self, name: str) -> None:
        """Delete a file of the folder; a missing file is no error."""
        self._storage.delete(self._path(name))

    def misplaced(self, table: str) -> list[str]:
        """Paths that are named like a shard and are no file, such as a folder or a broken link."""
        return [self._shown(path) for path, is_file in self._listed(table, ".parquet") if not is_file]

    def leftovers(self) -> list[str]:
        """Paths of temporary files: of a run that is being written or of one that was killed."""
        return [self._shown(path) for path in self._storage.temporary_files(self.root)]

    def remove_leftovers(self, *, but_of: str = "") -> None:
        """Delete the temporary files that a killed run left behind, except those of the file named `but_of`.

        Nothing else may be writing to the folder.
        """
        spared = self._path(f".{but_of}.")
        for path in [*self._storage.temporary_files(self.root)]:
            if not path.startswith(spared):
                self._storage.delete(path)

    def _read_header(self, path: str) -> ShardHeader | None:
        try:
            tail = self._storage.read(path, last=FOOTER_BYTES)
            if len(tail) == FOOTER_BYTES < (length := int.from_bytes(tail[-8:-4], "little") + 8):
                tail = self._storage.read(path, last=length)
        except NOT_A_FILE:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise
        try:
            return find_header(tail) or from_metadata(pq.read_metadata(pa.BufferReader(tail)).metadata or {})
        except (pa.ArrowException, OSError, KeyError, ValueError):
            return None

    def _listed(self, table: str, suffix: str) -> list[tuple[str, bool]]:
        found = self._storage.listed(self._path(table))
        return sorted((path, is_file) for path, is_file in found if _is_shown(path, suffix))

    def _shown(self, path: str) -> str:
        return self.shown.rstrip("/") + path[len(self.root.rstrip("/")) :]

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name) if name else self.root


def _parse(content: bytes, record: type[Record]) -> tuple[list[dict[str, Any]], ShardHeader]:
    """The rows in a file and its header. Raises an error of any kind if the file is damaged."""
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    # Shards are small, so handing their columns to threads would take longer than reading them.
    table = file.read(use_threads=False)
    header = from_metadata(table.schema.metadata or {})
    if not is_readable(record, table.schema):
        raise ValueError(f"its columns are not those of a {record.__name__}")
    rows = table.to_pylist()
    if fingerprint_content(table.column_names, rows) != header.content:
        raise ValueError("its rows are not those that its footer tells of")
    return rows, header


def shard_of(path: str) -> str:
    """The name of a shard, from the path of one of its files."""
    return posixpath.basename(path).split(".", 1)[0]


def _is_shown(path: str, suffix: str) -> bool:
    return path.endswith(suffix) and not posixpath.basename(path).startswith(".")
