"""The bytes of a file, unpacked and as UTF-8. How it is packed and encoded is told by its first bytes, not its name."""

import bz2
import codecs
import json
import lzma
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, cast
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from toolformer_ray.records.errors import first_line

PACKED_ENDINGS = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4")
"""What may stand after the ending of a file. The first bytes decide, so a packed file without it is read as well."""
_CHUNK_BYTES = 1 << 20
_PACKINGS = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip"),
    # The second one begins a frame to skip, as parallel packers write it.
    (re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL), "zstd"),
    (re.compile(rb"\x04\x22\x4d\x18"), "lz4"),
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), "bz2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"),
)
_CONTAINERS = (
    (re.compile(rb"PK\x03\x04|PK\x05\x06"), "a ZIP archive: unpack it"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c"), "a 7z archive: unpack it"),
    (re.compile(rb"Rar!\x1a\x07"), "a RAR archive: unpack it"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive: unpack it"),
    (re.compile(rb"PAR1\x15"), "a Parquet file: name it .parquet"),
    (re.compile(rb"ARROW1|\xff\xff\xff\xff"), "an Arrow file: write it as Parquet"),
    (re.compile(rb"%PDF-"), "a PDF: write its text to a .txt file"),
    (re.compile(rb"SQLite format 3\x00"), "a database: write its rows as JSON Lines or Parquet"),
)
_FIRST_BYTES = 512
_MARKS = (
    # UTF-32's mark begins with UTF-16's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FOLDER_VALUE = re.compile(r"([A-Za-z_]\w*)=(.+)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
UNREADABLE = (OSError, EOFError, lzma.LZMAError, pa.ArrowException)
"""What reading and unpacking raise for a file that is damaged, cut short or gone."""


@dataclass(frozen=True)
class FileSource:
    """A file on a disk or in a bucket."""

    filesystem: fs.FileSystem
    path: str
    name: str

    @property
    def place(self) -> str:
        """The file's path without links, or its URI."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            return os.path.realpath(self.path)
        return f"{self.filesystem.type_name}://{self.path}"

    @property
    def given(self) -> Mapping[str, str]:
        """What folders named `KEY=VALUE` say, as Hive and Spark write them; `year`, `month` and `day` make a `date`."""
        is_local = isinstance(self.filesystem, fs.LocalFileSystem)
        folders = (os.path.abspath(self.path) if is_local else self.path).split("/")[:-1]  # noqa: PTH100 - text only
        matches = filter(None, map(_FOLDER_VALUE.fullmatch, folders))
        values = {match[1]: unquote(match[2]) for match in matches if match[2] != _NO_VALUE}
        if values.keys() >= {"year", "month", "day"} and "date" not in values:
            values["date"] = f"{values['year']}-{values['month']:0>2}-{values['day']:0>2}"
        return values

    def chunks(self) -> Iterator[bytes]:
        """The file's content, unpacked, as UTF-8 without a byte order mark. Raises ValueError if it cannot be read."""
        try:
            with self.filesystem.open_input_file(self.path) as file, _unpacked(file) as content:
                chunk = _read_some(content)
                self._refuse_container(chunk)
                encoding = _encoding(chunk)
                decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)("surrogatepass")
                chunk = chunk.removeprefix(codecs.BOM_UTF8)
                while chunk:
                    yield decoder.decode(chunk).encode("utf-8", "surrogatepass") if decoder else chunk
                    chunk = content.read(_CHUNK_BYTES)
                if decoder:
                    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.name} cannot be read: it is no valid {error.encoding} ({error.reason})") from error
        except UNREADABLE as error:
            raise ValueError(f"{self.name} cannot be read: {first_line(error)}") from error

    def first_bytes(self) -> bytes:
        """What the file begins with, unpacked; empty if it cannot be read."""
        try:
            with self.filesystem.open_input_file(self.path) as file, _unpacked(file) as content:
                return content.read(_FIRST_BYTES).removeprefix(codecs.BOM_UTF8)
        except UNREADABLE:
            return b""

    def _refuse_container(self, beginning: bytes) -> None:
        for first_bytes, what in _CONTAINERS:
            if first_bytes.match(beginning):
                raise ValueError(f"{self.name} is {what}")


def _unpacked(file: pa.NativeFile) -> IO[bytes]:
    first_bytes = file.read(16)
    file.seek(0)
    packing = next((packing for pattern, packing in _PACKINGS if pattern.match(first_bytes)), None)
    raw = cast(Any, file)
    if packing == "bz2":
        return cast(IO[bytes], bz2.open(raw))
    if packing == "xz":
        return cast(IO[bytes], lzma.open(raw))
    return cast(IO[bytes], pa.CompressedInputStream(file, cast(Any, packing)) if packing else file)


def _read_some(content: IO[bytes]) -> bytes:
    """The first chunk, and not less of it than the file has: what the file is has to be seen in it."""
    chunk = b""
    while len(chunk) < _FIRST_BYTES and (more := content.read(_CHUNK_BYTES)):
        chunk += more
    return chunk


def _encoding(beginning: bytes) -> str:
    """UTF-16 or UTF-32 if a mark says so, or zeros among the first characters, of which one at least is ASCII."""
    for mark, encoding in _MARKS:
        if beginning.startswith(mark):
            return encoding
    # A text may have a zero in it, and a file that was never written holds nothing else.
    is_wide = len(beginning) >= 4 and beginning[:4].count(0) in (2, 3)
    return json.detect_encoding(beginning[:4]) if is_wide else "utf-8"
