"""Reads Parquet: each row is a document, and only the wanted columns are read."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.annotate.reading.arrow_values import plain_values
from toolformer_ray.annotate.reading.file import FileSource
from toolformer_ray.annotate.reading.source import SourceRow
from toolformer_ray.records.errors import first_line

_ROWS_PER_BATCH = 1_000
_UNREADABLE = (OSError, NotImplementedError, pa.ArrowException)


class ParquetSource(FileSource):
    """A Parquet file."""

    def columns(self, wanted: Sequence[str]) -> Sequence[str]:  # noqa: ARG002 - the footer has them all
        """The file's columns, from its footer."""
        with self._open() as file:
            return list(file.schema_arrow.names)

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """Every row, in the file's order. Strings that are not valid UTF-8 come as their bytes."""
        number = 0
        with self._open() as file:
            present = [name for name in wanted if name in file.schema_arrow.names]
            for group in range(file.num_row_groups):
                batches = file.iter_batches(_ROWS_PER_BATCH, row_groups=[group], columns=present)
                while True:
                    try:
                        batch = next(batches, None)
                    except _UNREADABLE as error:
                        column = _broken_column(file, group, present)
                        raise ValueError(
                            f"{self.name} cannot be read past row {number} (row group {group}{column}): "
                            f"{first_line(error)}"
                        ) from error
                    if batch is None:
                        break
                    columns = [plain_values(column) for column in batch.columns]
                    for values in zip(*columns, strict=True):
                        number += 1
                        yield SourceRow(number, dict(zip(batch.schema.names, values, strict=True)))

    def _open(self) -> pq.ParquetFile:
        try:
            file = pq.ParquetFile(self.filesystem.open_input_file(self.path))
            # Where a name is no UTF-8, this is where it is found.
            _ = file.schema_arrow.names
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.name} cannot be read: the name of a column is no UTF-8, rename it") from error
        except _UNREADABLE as error:
            raise ValueError(f"{self.name} is no readable Parquet file: {first_line(error)}") from error
        return file


def _broken_column(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> str:
    """The first column that cannot be read alone, in words."""
    for column in columns:
        try:
            file.read_row_group(group, columns=[column])
        except _UNREADABLE:
            return f", column {column!r}"
    return ""
