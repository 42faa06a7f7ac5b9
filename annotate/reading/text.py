"""Reads a plain text: the whole file is one document."""

from collections.abc import Iterator, Sequence

from toolformer_ray.annotate.reading.file import FileSource
from toolformer_ray.annotate.reading.source import SourceRow


class TextSource(FileSource):
    """A text file; its only column is the one that holds texts, whatever that is called."""

    def columns(self, wanted: Sequence[str]) -> None:
        """The columns are unknown."""

    def rows(self, wanted: Sequence[str]) -> Iterator[SourceRow]:
        """One row. Its text is the first wanted column."""
        yield SourceRow(1, {wanted[0]: b"".join(self.chunks())})
