"""Stage 1, ingest: from a corpus to documents that fit the model's window. CPU only, no model weights.

Reads files, folders, globs, URIs and data sets (`annotate/corpus.py` has the spellings).
Writes shards of `documents`, in the order of the corpus.
Drops: `duplicate` (a text equal to the letter to an earlier one), `empty_text` (nothing but white space),
`missing_text`, `invalid_utf8`, `invalid_row`; and, for each source of which no row is usable, `unusable_source`.

Limits: only exact duplicates are found, by a 16-byte hash kept for every text read, about 100 bytes of memory each.
A plain text file is read whole; everything else streams.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from toolformer_ray.annotate.corpus import check_columns, find_sources
from toolformer_ray.annotate.cutting import cut
from toolformer_ray.annotate.reading.source import Source, renamed
from toolformer_ray.annotate.rows import ReadRow, dropped_as, read_row
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.stages import UNUSABLE_SOURCE, Document, Dropped

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import TextTokenizer

MAX_DROPS_PER_SHARD = 10_000
"""A shard also ends at this many drops, so that those of a corpus of duplicates do not pile up in memory."""

_DEFAULT_COLUMNS = {"id": ("id", "doc_id"), "title": ("title",), "url": ("url",), "date": ("date", "timestamp")}
_IN_WORDS = {
    "invalid_utf8": "bytes that are no UTF-8",
    "invalid_row": "no JSON object",
    "missing_text": "no text",
    "empty_text": "nothing but white space",
}
_LATER = Parameter(group="How the corpus is read")
"""On the help page these options stand behind those that a first user needs."""


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """What to read, and how much of it makes a shard."""

    corpus: tuple[str, ...]
    """Files, folders, globs (local, s3://, gs://) and Hugging Face data sets (hf:NAME[:CONFIG[:SPLIT]])."""
    text_column: Annotated[str, _LATER] = "text"
    """The column that holds the text."""
    id_column: Annotated[str | None, _LATER] = None
    """The column that names a document; default: `id` or `doc_id` where there is one, else source and row number."""
    title_column: Annotated[str | None, _LATER] = None
    """The column with the title; default: `title` where there is one."""
    url_column: Annotated[str | None, _LATER] = None
    """The column with the URL; default: `url` where there is one."""
    date_column: Annotated[str | None, _LATER] = None
    """The column with the day of writing; default: `date` or `timestamp` where there is one, else the URL's date."""
    shard_size: Annotated[int, _LATER] = 32
    """Texts per shard. Small ones show results soon; on a GPU larger ones, such as 256, keep it busier."""
    max_documents: int | None = None
    """Stop after this many documents of the corpus (before cutting, duplicates not counted); None reads all."""

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise OptionError("shard_size", self.shard_size, "it must be at least 1 text")
        if self.max_documents is not None and self.max_documents < 1:
            raise OptionError("max_documents", self.max_documents, "it must be at least 1, or left out to read all")
        if isinstance(self.corpus, str) or not self.corpus:
            raise OptionError("corpus", repr(self.corpus), "name at least one file, folder, glob or hf:NAME")

    @property
    def named_columns(self) -> Mapping[str, str]:
        """The columns that the user has named, by what they hold; the corpus must have them."""
        named = {"id": self.id_column, "title": self.title_column, "url": self.url_column, "date": self.date_column}
        return {"text": self.text_column} | {role: column for role, column in named.items() if column}

    @property
    def columns(self) -> Mapping[str, Sequence[str]]:
        """For each role the columns that may hold it; the first that a row has, and is not null, counts."""
        return _DEFAULT_COLUMNS | {role: (column,) for role, column in self.named_columns.items()}


class Shard(NamedTuple):
    """What one shard of the run folder holds after ingest."""

    documents: list[Document]
    dropped: list[Dropped]


def ingest(
    options: IngestOptions,
    tokenizer: "TextTokenizer",
    max_text_tokens: int,
    groups: Sequence[Mapping[str, str]] = (),
    *,
    only: Collection[str] | None = None,
) -> Iterator[Shard]:
    """The shards of a corpus, each of `shard_size` texts but the last; a shard may hold nothing but drops.

    `groups` are sources that were found together: their names, whatever their spelling is today, by their places. They
    are read group by group, and each group begins a shard, so that a corpus that has grown gives the shards that it
    gave before, and then those of the sources that were added.
    With `only`, the sources of these names are read and no others.
    The corpus is checked before this returns. Raises ValueError, in one line, for a location that is missing or
    unreadable, and for a column that is not there; while iterating, for an empty corpus or a damaged file.
    """
    sources = [source for source in find_sources(options.corpus) if only is None or source.name in only]
    check_columns(sources, list(options.named_columns.values()))
    rows = _without_duplicates(_read_rows(_group(sources, groups), options.columns))
    return _shards(_limited(rows, options.max_documents), options.shard_size, tokenizer, max_text_tokens)


def check_corpus(options: IngestOptions, tokenizer: "TextTokenizer", max_text_tokens: int) -> None:
    """Read up to the first text, which shows most of what may be wrong with a corpus. Raises ValueError as `ingest`
    does, and also if there is no text in all of it."""
    shards = ingest(replace(options, shard_size=1), tokenizer, max_text_tokens)
    first = next(shards, None)
    if first and not first.documents and next(shards, None) is None:
        reasons = Counter(drop.reason for drop in first.dropped if drop.reason != UNUSABLE_SOURCE)
        told = ", ".join(f"{reason} {number:,}" for reason, number in reasons.items())
        raise UnusableError(f"the corpus holds no usable text ({told}): {first.dropped[0].detail}")


def _group(sources: Sequence[Source], groups: Sequence[Mapping[str, str]]) -> list[list[Source]]:
    """The sources in the given groups, under the names that they have there, and the others as the last group."""
    left = {source.name: source for source in sources}
    here = {source.place: source.name for source in sources}
    grouped = []
    for group in groups:
        # Another machine may reach a file by other links, but then by the same name.
        known = {name if name in left else here.get(place, ""): name for place, name in group.items()}
        grouped.append([renamed(left.pop(now), name) for now, name in known.items() if now in left])
    return [*grouped, list(left.values())]


def _shards(
    rows: Iterable[ReadRow], shard_size: int, tokenizer: "TextTokenizer", max_text_tokens: int
) -> Iterator[Shard]:
    shard = Shard([], [])
    for document, dropped in rows:
        if dropped:
            shard.dropped.append(dropped)
        for piece in _pieces(document, tokenizer, max_text_tokens) if document else ():
            shard.documents.append(piece)
            if len(shard.documents) == shard_size:
                yield shard
                shard = Shard([], [])
        is_end_of_group = not (document or dropped) and any(shard)
        if is_end_of_group or len(shard.dropped) >= MAX_DROPS_PER_SHARD:
            yield shard
            shard = Shard([], [])
    if any(shard):
        yield shard


def _pieces(document: Document, tokenizer: "TextTokenizer", max_text_tokens: int) -> Iterator[Document]:
    for part, text in enumerate(cut(document.text, max_text_tokens, tokenizer)):
        yield replace(document, text_id=f"{document.text_id}-{part}", part=part, text=text)


def _limited(rows: Iterable[ReadRow], max_documents: int | None) -> Iterator[ReadRow]:
    num_documents = 0
    for row in rows:
        yield row
        num_documents += row.document is not None
        if num_documents == max_documents:
            return


def _read_rows(groups: Sequence[Sequence[Source]], columns: Mapping[str, Sequence[str]]) -> Iterator[ReadRow]:
    # The text's column comes first: a text file takes its text for the first wanted column.
    wanted = list(dict.fromkeys(column for role in ("text", *columns) for column in columns[role]))
    is_empty = True
    for group in groups:
        for source in group:
            faults, first, is_usable, given = Counter[str](), "", False, source.given
            for row in source.rows(wanted):
                is_empty = False
                read = read_row(source.name, row, columns, given)
                if read.dropped:
                    faults[read.dropped.reason] += 1
                    first = first or read.dropped.detail or ""
                is_usable = is_usable or read.document is not None
                yield read
            # Of white space nothing is lost.
            if not is_usable and faults.keys() - {"empty_text"}:
                told = ", ".join(f"{number:,} with {_IN_WORDS[reason]}" for reason, number in faults.items())
                detail = f"none of {faults.total():,} rows is usable: {told}; the first: {first[len(source.name) :]}"
                yield dropped_as(UNUSABLE_SOURCE, source.name, detail)
        yield ReadRow()
    if is_empty:
        names = [source.name for group in groups for source in group]
        raise ValueError(f"corpus {', '.join(names[:3])} is empty: it holds no document")


def _without_duplicates(rows: Iterable[ReadRow]) -> Iterator[ReadRow]:
    seen: set[bytes] = set()
    for row in rows:
        if row.document is None or (digest := bytes.fromhex(row.document.text_id)) not in seen:
            if row.document:
                seen.add(digest)
            yield row
        else:
            yield dropped_as("duplicate", f"{row.document.text_id}-0", row.document.doc_id)
