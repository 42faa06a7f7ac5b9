"""Whole files on a disk or in a bucket: a reader finds a file complete or not at all.

On a disk, readers can see a file while it is being written. So it is written under a temporary name that no reader
looks for, and then renamed, which replaces an older file at once. In a bucket, an object becomes visible only when it
is complete. So it is written under its own name: a rename would be a copy and a deletion, twice the traffic and no
safer. docs/storage.md lists what each kind of store guarantees, and which guarantees this program relies on.
"""

import contextlib
import errno
import os
import posixpath
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.fs

from toolformer_ray.records.locations import without_keys

TEMPORARY_SUFFIX = ".tmp"
BUCKETS = ("s3", "gcs", "abfs")
# A pyarrow option. Without it pyarrow uploads every object in parts, which takes three requests instead of one.
ONE_REQUEST = "allow_delayed_open"
NOT_A_FILE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class Disk:
    """Files on this machine's disks, or on a network share that is mounted."""

    filesystem: pa.fs.FileSystem = pa.fs.LocalFileSystem()

    def read(self, path: str, last: int | None = None) -> bytes:
        """The content of a file, or its `last` bytes. Raises OSError; FileNotFoundError if there is no such file."""
        # Opening a run reads every shard of every table; neither a buffer nor a Path is worth its time there.
        with open(path, "rb", buffering=0) as source:  # noqa: PTH123
            if last is not None:
                source.seek(max(0, os.fstat(source.fileno()).st_size - last))
            return source.read()

    def write(self, path: str, content: bytes | pa.Buffer, *, is_lasting: bool = False) -> None:
        """Write a file, replacing any of that name. Raises OSError, and then leaves an older file as it was.

        With `is_lasting` the file survives a power cut from now on; without, the disk may take half a minute for that.
        """
        folder, base = posixpath.split(path)
        temporary = posixpath.join(folder, f".{base}.{uuid.uuid4().hex[:8]}{TEMPORARY_SUFFIX}")
        try:
            try:
                _write(temporary, content, is_lasting=is_lasting)
            except FileNotFoundError:  # It is the first file of its folder. Checking before each write would cost more.
                Path(folder).mkdir(parents=True, exist_ok=True)
                _write(temporary, content, is_lasting=is_lasting)
            Path(temporary).replace(path)
            if is_lasting:
                _flush_folder(folder)
        except OSError:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise

    def delete(self, path: str) -> None:
        """Delete a file; a missing file is no error."""
        Path(path).unlink(missing_ok=True)

    def listed(self, folder: str) -> Iterator[tuple[str, bool]]:
        """(path, whether it is a file) of all entries of a folder, broken links included; none if there is no
        folder."""
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                yield entry.path, _is_file(entry)

    def is_folder(self, path: str) -> bool:
        """Whether there is a folder, which may be empty."""
        return Path(path).is_dir()

    def remove_empty(self, folder: str) -> None:
        """Remove a folder. Raises OSError if something is in it."""
        Path(folder).rmdir()

    def temporary_files(self, root: str) -> Iterator[str]:
        """Paths of the temporary files in a folder and below it. Links are not followed."""
        for folder, _, names in os.walk(root):
            yield from (posixpath.join(folder, name) for name in names if name.endswith(TEMPORARY_SUFFIX))


class Bucket:
    """Objects of a bucket. A folder exists as long as an object has its name before its own."""

    def __init__(self, filesystem: pa.fs.FileSystem) -> None:
        self.filesystem = filesystem

    def read(self, path: str, last: int | None = None) -> bytes:
        """See `Disk.read`."""
        with self.filesystem.open_input_file(path) as source:
            size = source.size()
            start = 0 if last is None else max(0, size - last)
            source.seek(start)
            return bytes(source.read(size - start))

    def write(self, path: str, content: bytes | pa.Buffer, *, is_lasting: bool = False) -> None:  # noqa: ARG002
        """See `Disk.write`; what a bucket has accepted is lasting.

        If an exception closes a stream, pyarrow publishes what was written so far. The only exception that can come
        between its calls is that of a signal, such as Ctrl-C. Signals only interrupt the main thread, so another thread
        does the writing.
        """
        if threading.current_thread() is threading.main_thread():
            with ThreadPoolExecutor(1) as writer:
                writer.submit(self._put, path, content).result()
        else:
            self._put(path, content)

    def delete(self, path: str) -> None:
        """See `Disk.delete`."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(path)

    def listed(self, folder: str) -> Iterator[tuple[str, bool]]:
        """See `Disk.listed`."""
        for info in self.filesystem.get_file_info(pa.fs.FileSelector(folder, allow_not_found=True)):
            yield info.path, info.is_file

    def is_folder(self, path: str) -> bool:
        """Whether an object is below the path."""
        return next(self.listed(path), None) is not None

    def remove_empty(self, folder: str) -> None:
        """Nothing is to be done: a folder without objects is none."""

    def temporary_files(self, root: str) -> Iterator[str]:  # noqa: ARG002
        """None, since an object is written under its own name."""
        return iter(())

    def _put(self, path: str, content: bytes | pa.Buffer) -> None:
        with self._open(path) as sink:
            sink.write(content)

    def _open(self, path: str) -> pa.NativeFile:
        return self.filesystem.open_output_stream(path)


def open_storage(location: str) -> tuple[Disk | Bucket, str]:
    """The store that a location is on, and the path there. Raises ValueError for a URI that cannot be used."""
    if "://" not in location:
        return Disk(), os.path.abspath(os.path.expanduser(location))  # noqa: PTH100, PTH111
    try:
        filesystem, path = pa.fs.FileSystem.from_uri(_in_one_request(location))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(without_keys(f"run folder {location} cannot be opened: {error}")) from error
    if isinstance(filesystem, pa.fs.LocalFileSystem):
        return Disk(), path
    if filesystem.type_name not in BUCKETS:
        raise ValueError(f"run folder {without_keys(location)} is on a store of an unknown kind; use a path or s3://")
    return Bucket(filesystem), path


def _in_one_request(location: str) -> str:
    if not location.startswith("s3://") or f"{ONE_REQUEST}=" in location:
        return location
    return f"{location}{'&' if '?' in location else '?'}{ONE_REQUEST}=true"


def _write(path: str, content: bytes | pa.Buffer, *, is_lasting: bool) -> None:
    with Path(path).open("wb", buffering=0) as sink:
        left = memoryview(content)
        while left:
            left = left[sink.write(left) :]
        if is_lasting:
            os.fsync(sink.fileno())


def _flush_folder(folder: str) -> None:
    """Write the names in a folder to the disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False
