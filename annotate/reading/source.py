"""What a source of a corpus is to whoever reads it: a name, and rows.

A row that cannot be read is yielded with its fault, and the next one follows. A source that cannot be read any further
(cut short, damaged) is a ValueError that names it, since nobody could say what is lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SourceRow:
    """One row of a source; either its values or its fault is None."""

    number: int
    """Counted from 1; in a file of lines the number of the line."""
    values: Mapping[str, object] | None
    """Strings that are no UTF-8 are bytes, or strings with surrogates; what Python cannot express is None."""
    fault: tuple[str, str] | None = None
    """A reason of DROP_REASONS["ingest"] and what is wrong in words."""


class Source(Protocol):
    """One file or data set of a corpus."""

    @property
    def name(self) -> str:
        """What the column `source` says: the path as the user wrote it, or the data set's name."""

    @property
    def place(self) -> str:
        """Where it is, however the user spells that."""

    @property
    def given(self) -> Mapping[str, str]:
        """Values that hold for all rows which do not have them, from the names of folders such as `date=2024-01-01`."""

    def columns(self, wanted: Sequence[str]) -> Sequence[str] | None:
        """The columns that there are, at least those of the wanted ones; None if there is no row to show any.

        Raises ValueError if unreadable.
        """

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """Every row in order, with at least the wanted columns that there are. Raises ValueError if unreadable."""


def renamed(source: Source, name: str) -> Source:
    """The source under another name."""
    return source if source.name == name else _Renamed(source, name)


@dataclass(frozen=True)
class _Renamed:
    source: Source
    name: str

    @property
    def place(self) -> str:
        return self.source.place

    @property
    def given(self) -> Mapping[str, str]:
        return self.source.given

    def columns(self, wanted: Sequence[str]) -> Sequence[str] | None:
        return self.source.columns(wanted)

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        return self.source.rows(wanted)
