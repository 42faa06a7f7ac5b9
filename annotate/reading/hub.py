"""Streams a Hugging Face data set by its name, `hf:NAME[:CONFIG[:SPLIT]]`; NAME may be a local data set folder.

Rows come as Arrow tables, of which only the wanted columns are looked at: no picture and no sound is decoded.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from toolformer_ray.annotate.reading.arrow_values import plain_values
from toolformer_ray.annotate.reading.source import SourceRow
from toolformer_ray.records.errors import first_line

DEFAULT_SPLIT = "train"
_ROWS_PER_BATCH = 256


@dataclass(frozen=True)
class HubSource:
    """One split of a data set; its rows come in the data set's order."""

    dataset: str
    config: str | None
    split: str

    @classmethod
    def parse(cls, spelled: str) -> "HubSource":
        """`NAME`, `NAME:CONFIG` or `NAME:CONFIG:SPLIT`, with an empty CONFIG for none. Raises ValueError otherwise."""
        name, *rest = spelled.split(":")
        if not name or len(rest) > 2:
            raise ValueError(
                f"data set hf:{spelled} is not understood; write hf:NAME, hf:NAME:CONFIG or hf:NAME:CONFIG:SPLIT"
            )
        config, split = [*rest, "", ""][:2]
        return cls(name, config or None, split or DEFAULT_SPLIT)

    @property
    def name(self) -> str:
        """The data set as the user spells it."""
        return self._named(self.dataset)

    @property
    def place(self) -> str:
        """The same, with the path of a local folder without links."""
        return self._named(os.path.realpath(self.dataset) if Path(self.dataset).is_dir() else self.dataset)

    @property
    def given(self) -> Mapping[str, str]:
        """Nothing: what the names of folders say, the library has made columns of."""
        return {}

    def columns(self, wanted: Sequence[str]) -> Sequence[str] | None:  # noqa: ARG002 - all rows have the same
        """The columns that the data set declares, else of its beginning; None for an empty one."""
        number = 0
        try:
            dataset = self._open()
            if dataset.column_names:
                return list(dataset.column_names)
            for table in dataset.with_format("arrow").iter(_ROWS_PER_BATCH):
                number += len(table)
                return list(table.column_names)
        except _dataset_errors() as error:
            raise self._unreadable(number, error) from error
        return None

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """Every row with the wanted columns. Raises ValueError if the data set cannot be loaded or read."""
        number = 0
        try:
            dataset = self._open()
            if dataset.column_names:
                dataset = dataset.select_columns([name for name in wanted if name in dataset.column_names])
            for table in dataset.with_format("arrow").iter(_ROWS_PER_BATCH):
                for values in _plain_rows(table, wanted):
                    number += 1
                    yield SourceRow(number, values)
        except _dataset_errors() as error:
            raise self._unreadable(number, error) from error

    def _named(self, dataset: str) -> str:
        return ":".join(part for part in ("hf", dataset, self.config or "", self.split))

    def _open(self) -> Any:
        # Imported here, since it takes a second that a corpus of files should not pay.
        from datasets import load_dataset  # type: ignore[import-untyped]

        return load_dataset(self.dataset, self.config, split=self.split, streaming=True)

    def _unreadable(self, number: int, error: Exception) -> ValueError:
        return ValueError(f"data set {self.name} cannot be read past row {number}: {first_line(error)}")


def _plain_rows(table: pa.Table, wanted: Sequence[str]) -> Iterator[dict[str, object]]:
    present = [name for name in wanted if name in table.column_names]
    for batch in table.select(present).to_batches():
        columns = [plain_values(column) for column in batch.columns]
        for values in zip(*columns, strict=True):
            yield dict(zip(present, values, strict=True))


def _dataset_errors() -> tuple[type[Exception], ...]:
    """What the library raises for a data set that is not there, damaged, or needs a package that is not here."""
    from datasets.exceptions import DatasetsError  # type: ignore[import-untyped]

    return (
        *(DatasetsError, OSError, ValueError, ImportError, LookupError, TypeError, ArithmeticError, RuntimeError),
        pa.ArrowException,
    )
