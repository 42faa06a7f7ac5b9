"""Reading and writing the shards of one run folder, on a local disk or in `s3://` or `gs://` alike.

A shard is done when it has its name: it is written under a temporary one (which no `*.parquet` glob matches), its
schema is checked, then it is renamed. Its Parquet metadata carry the fingerprint of what it was made from and a few
counts, so that both can be read without reading a row.
"""

import contextlib
import dataclasses
import json
import os
import posixpath
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, Literal

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from records.locations import without_keys
from records.schema import RecordT, from_table, to_table
from records.shard_header import ShardHeader, fingerprint_content, from_metadata, to_metadata

TEMPORARY_SUFFIX = ".tmp"
COMPRESSION: Literal["zstd"] = "zstd"
# Headers are a few hundred bytes: on an object store their time is latency, so many are fetched at once.
HEADER_THREADS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class TableHeaders:
    """The headers of a table, and the files that have none."""

    by_shard: Mapping[str, ShardHeader]
    damaged: Sequence[str]
    """Paths of files that are named like shards but are truncated, empty or not ours: treated as not there."""


def shard_name(number: int) -> str:
    """`part-00042` for 42: the name that a shard has in every table."""
    return f"part-{number:05d}"


class RunFolder:
    """One run folder. `location` is a local path or a URI such as `s3://bucket/runs/one`."""

    def __init__(self, location: str) -> None:
        self.filesystem, self.root = _open_filesystem(location)
        # A worker's working directory is not ours: what is sent to it must not be relative.
        self.location = location if "://" in location else self.root
        self.shown = without_keys(self.location)
        """The location as it may be printed."""

    def __reduce__(self) -> tuple[type["RunFolder"], tuple[str]]:
        return RunFolder, (self.location,)

    def create(self) -> None:
        """Make the folder and try that it can be written to. Raises OSError if not."""
        self.filesystem.create_dir(self.root, recursive=True)
        self.write_bytes("write-test" + TEMPORARY_SUFFIX, b"")
        self.delete("write-test" + TEMPORARY_SUFFIX)

    def write_shard(
        self,
        table: str,
        shard: str,
        record: type[RecordT],
        rows: Iterable[RecordT],
        *,
        fingerprint: str,
        counts: Mapping[str, int],
        parts: Mapping[str, str] = MappingProxyType({}),
    ) -> ShardHeader:
        """Write the rows and only then give the file its name; a shard of that name is replaced. Returns its header.

        Raises pyarrow.ArrowInvalid if a row does not fit the record's schema and OSError if the disk refuses.
        """
        content = to_table(record, rows)
        _check_nulls(content, f"{table}/{shard}")
        header = ShardHeader(
            fingerprint=fingerprint,
            counts=dict(counts),
            content=fingerprint_content(content),
            parts=dict(parts),
            num_rows=content.num_rows,
        )
        sink = pa.BufferOutputStream()
        pq.write_table(content.replace_schema_metadata(to_metadata(header)), sink, compression=COMPRESSION)
        self._write_then_rename(f"{table}/{shard}.parquet", sink.getvalue())
        return header

    def read_shard(self, table: str, shard: str, record: type[RecordT]) -> list[RecordT]:
        """The rows of a shard. Raises FileNotFoundError if it is not there, pyarrow.ArrowInvalid if it is damaged."""
        with self.filesystem.open_input_file(self._path(f"{table}/{shard}.parquet")) as source:
            # Shards are small: handing their columns to threads takes longer than reading them.
            return list(from_table(record, pq.ParquetFile(source).read(use_threads=False)))

    def header(self, table: str, shard: str) -> ShardHeader | None:
        """The header of a shard, from its footer alone; None if the shard is not there or is damaged."""
        try:
            return self._read_header(self._path(f"{table}/{shard}.parquet"))
        except FileNotFoundError:
            return None

    def headers(self, table: str) -> TableHeaders:
        """The headers of all shards of a table."""
        paths = self._files(table, ".parquet")
        with ThreadPoolExecutor(HEADER_THREADS) as threads:
            headers = dict(zip(paths, threads.map(self._read_header, paths), strict=True))
        return TableHeaders(
            by_shard={shard_of(path): header for path, header in headers.items() if header},
            damaged=[path for path, header in headers.items() if header is None],
        )

    def shards(self, table: str, suffix: str = ".parquet") -> list[str]:
        """The names of a table's shards, in order; nothing is opened, so a damaged one is among them."""
        return [shard_of(path) for path in self._files(table, suffix)]

    def paths(self, table: str) -> list[str]:
        """The paths of a table's shards as `filesystem` takes them, in order."""
        return self._files(table, ".parquet")

    def write_json(self, name: str, value: object) -> None:
        """Write a JSON file, e.g. `run.json` or `failed/score/part-00003.json`, whole or not at all."""
        self._write_then_rename(name, json.dumps(value, indent=2, ensure_ascii=False).encode())

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; None if it is not there. Raises ValueError if it is not JSON."""
        try:
            with self.filesystem.open_input_file(self._path(name)) as source:
                return json.loads(source.read())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:
            raise ValueError(f"{self._path(name)} is not JSON ({error}); delete it or use another --run") from error

    def delete(self, name: str) -> None:
        """Delete a file of the folder; one that is not there is no error."""
        if self.filesystem.get_file_info(self._path(name)).type != pa.fs.FileType.NotFound:
            self._delete_path(self._path(name))

    def remove_leftovers(self, *, but_of: str = "") -> int:
        """Delete the temporary files that a killed run left behind, and return how many were found.

        Nothing may be writing but the file named `but_of`, whose temporary ones stay.
        """
        selector = pa.fs.FileSelector(self.root, allow_not_found=True, recursive=True)
        spared = self._path(f".{but_of}.")
        found = self.filesystem.get_file_info(selector)
        leftovers = [info.path for info in found if _is_temporary(info) and not info.path.startswith(spared)]
        for path in leftovers:
            self._delete_path(path)
        return len(leftovers)

    def write_bytes(self, name: str, content: bytes | pa.Buffer) -> None:
        """Write a file under its own name at once: for what nobody reads while it is written."""
        with self.filesystem.open_output_stream(self._path(name)) as sink:
            sink.write(content)

    def _write_then_rename(self, name: str, content: bytes | pa.Buffer) -> None:
        folder, base = posixpath.split(name)
        temporary = posixpath.join(folder, f".{base}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
        self.filesystem.create_dir(self._path(folder), recursive=True)
        try:
            self.write_bytes(temporary, content)
        except OSError:
            self.delete(temporary)
            raise
        self.filesystem.move(self._path(temporary), self._path(name))

    def _delete_path(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            self.filesystem.delete_file(path)

    def _read_header(self, path: str) -> ShardHeader | None:
        try:
            with self.filesystem.open_input_file(path) as source:
                footer = pq.read_metadata(source)
            return from_metadata(footer.metadata or {}, footer.num_rows)
        except (pa.ArrowInvalid, KeyError, ValueError):
            return None
        except OSError as error:
            # Arrow reports a footer that it cannot decode as an OSError too, but then no system call has failed.
            if error.errno is None:
                return None
            raise

    def _files(self, table: str, suffix: str) -> list[str]:
        selector = pa.fs.FileSelector(self._path(table), allow_not_found=True)
        found = (info.path for info in self.filesystem.get_file_info(selector) if info.is_file)
        return sorted(path for path in found if path.endswith(suffix) and not posixpath.basename(path).startswith("."))

    def _path(self, name: str) -> str:
        return posixpath.join(self.root, name) if name else self.root


def _open_filesystem(location: str) -> tuple[pa.fs.FileSystem, str]:
    if "://" in location:
        try:
            return pa.fs.FileSystem.from_uri(location)
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(without_keys(f"run folder {location} cannot be opened: {error}")) from error
    return pa.fs.LocalFileSystem(), os.path.abspath(os.path.expanduser(location))  # noqa: PTH100, PTH111


def _check_nulls(content: pa.Table, shard: str) -> None:
    for field, column in zip(content.schema, content.columns, strict=True):
        if column.null_count and not field.nullable:
            raise pa.ArrowInvalid(f"{shard} has {column.null_count} rows without a value for {field.name}")


def shard_of(path: str) -> str:
    """The shard's name in the path of one of its files."""
    return posixpath.basename(path).split(".", 1)[0]


def _is_temporary(info: pa.fs.FileInfo) -> bool:
    return info.is_file and info.path.endswith(TEMPORARY_SUFFIX)
