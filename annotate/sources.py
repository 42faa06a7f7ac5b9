"""Reads the rows of one corpus file: Parquet, JSON Lines, plain text. Only a plain text is held in memory as a whole.

A row that cannot be read is yielded with its fault, and the next one follows. A file that cannot be read any further
(cut short, damaged) is a ValueError that names it, since nobody could say what is lost.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from toolformer_ray.records.errors import first_line

_CHUNK_BYTES = 1 << 20
_ROWS_PER_BATCH = 1_000
_ROWS_TO_LEARN_COLUMNS = 100
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class SourceRow:
    """One row of a source; either its values or its fault is None."""

    number: int
    """Counted from 1; in a file of lines the number of the line."""
    values: dict[str, object] | None
    fault: tuple[str, str] | None = None
    """A reason of DROP_REASONS["ingest"] and what is wrong in words."""


class Source(Protocol):
    """One file or data set of a corpus."""

    @property
    def name(self) -> str:
        """What the column `source` says: the path as the user wrote it, or the data set's name."""

    def columns(self) -> Sequence[str] | None:
        """The column names that the beginning shows; None if it shows none. Raises ValueError if unreadable."""

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """Every row in order, with at least the wanted columns that there are. Raises ValueError if unreadable."""


@dataclass(frozen=True)
class _FileSource:
    filesystem: fs.FileSystem
    path: str
    name: str

    def _chunks(self) -> Iterator[bytes]:
        """The file's bytes, decompressed as its ending says, without a byte order mark."""
        try:
            with self.filesystem.open_input_stream(self.path, compression="detect") as stream:
                mark = _BYTE_ORDER_MARK
                while chunk := stream.read(_CHUNK_BYTES):
                    yield chunk.removeprefix(mark)
                    mark = b""
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{self.name} cannot be read: {first_line(error)}") from error


class TextSource(_FileSource):
    """A text file is one document; its only column is the one that holds texts, whatever that is called."""

    def columns(self) -> None:
        """The columns are unknown."""

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """One row. Its text is the first wanted column."""
        yield SourceRow(1, {wanted[0]: b"".join(self._chunks())})


class LinesSource(_FileSource):
    """Each line is a JSON object; blank lines are skipped."""

    def columns(self) -> Sequence[str] | None:
        """Every key of the first hundred rows that are objects."""
        first = list(islice(self.rows([]), _ROWS_TO_LEARN_COLUMNS))
        return list(dict.fromkeys(key for row in first if row.values is not None for key in row.values)) or None

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:  # noqa: ARG002 - a line is parsed whole
        """Every line's object, with all its keys."""
        for number, line in enumerate(_lines(self._chunks()), 1):
            if line.strip():
                yield _parse_line(number, line)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for chunk in chunks:
        head, *more = chunk.split(b"\n")
        rest.append(head)
        for tail in more:
            yield b"".join(rest)
            rest = [tail]
    if any(rest):
        yield b"".join(rest)


def _parse_line(number: int, line: bytes) -> SourceRow:
    try:
        values = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return SourceRow(number, None, ("invalid_utf8", f"byte {error.start} of the line: {error.reason}"))
    except (ValueError, RecursionError) as error:
        return SourceRow(number, None, ("invalid_row", f"no JSON: {error}"))
    if not isinstance(values, dict):
        return SourceRow(number, None, ("invalid_row", f"a JSON {type(values).__name__} where an object should be"))
    return SourceRow(number, values)


class ParquetSource(_FileSource):
    """Each row is a document; only the wanted columns are read."""

    def columns(self) -> Sequence[str]:
        """The file's columns, from its footer."""
        with self._open() as file:
            return list(file.schema_arrow.names)

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """Every row, in the file's order. Strings that are not valid UTF-8 come as their bytes."""
        number = 0
        with self._open() as file:
            present = [name for name in wanted if name in file.schema_arrow.names]
            batches = file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=present)
            while True:
                try:
                    batch = next(batches, None)
                except (OSError, pa.ArrowException) as error:
                    raise ValueError(f"{self.name} cannot be read past row {number}: {first_line(error)}") from error
                if batch is None:
                    return
                columns = [_values(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield SourceRow(number, dict(zip(batch.schema.names, values, strict=True)))

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.filesystem.open_input_file(self.path))
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{self.name} is no readable Parquet file: {first_line(error)}") from error


def _values(column: pa.Array) -> Sequence[object]:
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return column.cast(pa.large_binary()).to_pylist()
