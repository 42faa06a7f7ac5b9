"""Reading and writing the shards of one run folder, on a local disk or in `s3://` or `gs://` alike.

A shard is done when it has its name, and has it only when it is whole (`records.storage`). Its Parquet metadata carry
the fingerprint of what it was made from, that of its rows, and a few counts, so that these can be read without reading
a row. Its pages carry checksums, and whoever reads its rows compares them with their fingerprint: what is read is what
was written, or the shard is damaged.
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
from toolformer_ray.records.schema import Record, RecordT, arrow_schema, check_nulls, from_plain, to_table
from toolformer_ray.records.shard_header import (
    ShardHeader,
    find_header,
    fingerprint_content,
    from_metadata,
    to_metadata,
)
from toolformer_ray.records.storage import NOT_A_FILE, TEMPORARY_SUFFIX, open_storage

COMPRESSION: Literal["zstd"] = "zstd"
# Headers are a few hundred bytes: on an object store their time is latency, so many are fetched at once.
HEADER_THREADS = 16
MAX_HEADERS_AT_ONCE = 64
"""A thread is given so many at a time, since on a disk handing out one takes longer than reading it."""
FOOTER_BYTES = 64 * 2**10
"""What is fetched to read a footer; enough for all but the widest tables."""


class DamagedError(pa.ArrowInvalid):
    """A file that was read to its end and is not what was written. The message is one line that names it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableHeaders:
    """The headers of a table, and the files that have none."""

    by_shard: Mapping[str, ShardHeader]
    damaged: Sequence[str]
    """What is named like a shard but is truncated, empty, no file or not ours: treated as not there."""


def shard_name(number: int) -> str:
    """`part-00042` for 42: the name that a shard has in every table."""
    return f"part-{number:05d}"


class RunFolder:
    """One run folder. `location` is a local path or a URI such as `s3://bucket/runs/one`."""

    def __init__(self, location: str) -> None:
        self._storage, self.root = open_storage(location)
        # A worker's working directory is not ours: what is sent to it must not be relative.
        self.location = location if "://" in location else self.root
        self.shown = without_keys(self.location)
        """The location as it may be printed."""

    def __reduce__(self) -> tuple[type["RunFolder"], tuple[str]]:
        return RunFolder, (self.location,)

    @property
    def filesystem(self) -> pa.fs.FileSystem:
        """What opens the paths that `paths` gives."""
        return self._storage.filesystem

    def create(self) -> None:
        """Make the folder and try that it can be written to. Raises OSError if not."""
        # Not an empty one: a full disk takes those.
        self._storage.write(self._path("write-test" + TEMPORARY_SUFFIX), b"write-test")
        self.delete("write-test" + TEMPORARY_SUFFIX)

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
        """Write a shard, whole or not at all; one of that name is replaced. Returns its header.

        Raises pyarrow.ArrowInvalid if a row does not fit the record's schema and OSError if the disk refuses.
        """
        content = to_table(record, rows)
        check_nulls(content, f"{table}/{shard}")
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
        """The rows of a shard. Raises FileNotFoundError if it is not there, DamagedError if it is not what it was."""
        return list(from_plain(record, self._read(table, shard, record)[0]))

    def check_shard(self, table: str, shard: str, record: type[Record]) -> ShardHeader:
        """The header of a shard whose rows are those that it tells of. Raises as `read_shard` does."""
        return self._read(table, shard, record)[1]

    def _read(self, table: str, shard: str, record: type[Record]) -> tuple[list[dict[str, Any]], ShardHeader]:
        name = f"{table}/{shard}.parquet"
        content = self._storage.read(self._path(name))
        try:
            return _parse(content, record)
        # From here on no disk and no network is asked: whatever is wrong is wrong with the bytes.
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise DamagedError(f"{self.shown}/{name} is damaged: {one_line(error)}") from error

    def header(self, table: str, shard: str) -> ShardHeader | None:
        """The header of a shard, from its footer alone; None if the shard is not there or is damaged."""
        return self._read_header(self._path(f"{table}/{shard}.parquet"))

    def headers(self, table: str) -> TableHeaders:
        """The headers of all shards of a table, from their footers."""
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
        """The names of a table's shards, in order; nothing is opened, so a damaged one is among them."""
        return [shard_of(path) for path, is_file in self._listed(table, suffix) if is_file]

    def paths(self, table: str) -> list[str]:
        """The paths of a table's shards as `filesystem` takes them, in order."""
        return [path for path, is_file in self._listed(table, ".parquet") if is_file]

    def write_json(self, name: str, value: object, *, is_lasting: bool = False) -> None:
        """Write a JSON file, e.g. `run.json` or `failed/score/part-00003.json`, whole or not at all.

        If it is to last, a power cut does not take it away; without it the run could not go on by itself.
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
        """Delete a file of the folder; one that is not there is no error."""
        self._storage.delete(self._path(name))

    def misplaced(self, table: str) -> list[str]:
        """What is named like a shard and is no file: a folder, a link that leads nowhere."""
        return [self._shown(path) for path, is_file in self._listed(table, ".parquet") if not is_file]

    def leftovers(self) -> list[str]:
        """Temporary files, of whoever is writing or of a run that was killed."""
        return [self._shown(path) for path in self._storage.temporary_files(self.root)]

    def remove_leftovers(self, *, but_of: str = "") -> int:
        """Delete the temporary files that a killed run left behind, and return how many were found.

        Nothing may be writing but the file named `but_of`, whose temporary ones stay.
        """
        spared = self._path(f".{but_of}.")
        leftovers = [path for path in self._storage.temporary_files(self.root) if not path.startswith(spared)]
        for path in leftovers:
            self._storage.delete(path)
        return len(leftovers)

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
    """The rows in a file, and what its footer tells of them. Raises an error of any kind if they do not agree."""
    file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
    # Shards are small: handing their columns to threads takes longer than reading them.
    table = file.read(use_threads=False)
    header = from_metadata(table.schema.metadata or {})
    if not table.schema.equals(arrow_schema(record)):
        raise ValueError(f"its columns are not those of a {record.__name__}")
    rows = table.to_pylist()
    if fingerprint_content(table.column_names, rows) != header.content:
        raise ValueError("its rows are not those that its footer tells of")
    return rows, header


def shard_of(path: str) -> str:
    """The shard's name in the path of one of its files."""
    return posixpath.basename(path).split(".", 1)[0]


def _is_shown(path: str, suffix: str) -> bool:
    return path.endswith(suffix) and not posixpath.basename(path).startswith(".")
