"""Streams a Hugging Face data set by its name, `hf:NAME[:CONFIG[:SPLIT]]`; NAME may be a local data set folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from toolformer_ray.annotate.sources import SourceRow
from toolformer_ray.records.errors import first_line

DEFAULT_SPLIT = "train"


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
        return ":".join(part for part in ("hf", self.dataset, self.config or "", self.split))

    def columns(self) -> Sequence[str] | None:
        """The columns of the first row; None for an empty data set. Raises ValueError if it cannot be loaded."""
        return next((list(row.values) for row in islice(self.rows([]), 1) if row.values is not None), None)

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:  # noqa: ARG002 - a streamed row comes whole
        """Every row with all its columns. Raises ValueError if the data set cannot be loaded or read."""
        number = 0
        try:
            for values in self._stream():
                number += 1
                yield SourceRow(number, dict(values))
        except _dataset_errors() as error:
            raise ValueError(f"data set {self.name} cannot be read past row {number}: {first_line(error)}") from error

    def _stream(self) -> Iterator[Mapping[str, Any]]:
        # Imported here, since it takes a second that a corpus of files should not pay.
        from datasets import load_dataset  # type: ignore[import-untyped]

        return iter(load_dataset(self.dataset, self.config, split=self.split, streaming=True))


def _dataset_errors() -> tuple[type[Exception], ...]:
    from datasets.exceptions import DatasetsError  # type: ignore[import-untyped]

    return (DatasetsError, OSError, ValueError)
