"""Stage 1, ingest: from a corpus to documents that fit the model's window. CPU only, no model weights.

Reads files, folders, globs, URIs and data sets (`annotate/corpus.py` has the spellings).
Writes shards of `documents`, in the order of the corpus.
Drops: `duplicate` (a text equal to the letter to an earlier one), `empty_text` (nothing but white space),
`missing_text`, `invalid_utf8`, `invalid_row`.

Limits: only exact duplicates are found, by a 16-byte hash kept for every text read, about 100 bytes of memory each.
A plain text file is read whole; everything else streams.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, NamedTuple

from cyclopts import Parameter

from toolformer_ray.annotate.corpus import check_columns, find_sources
from toolformer_ray.annotate.cutting import cut
from toolformer_ray.annotate.dates import date_from_url, parse_date
from toolformer_ray.annotate.sources import Source, SourceRow
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.stages import Document, Dropped

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import TextTokenizer

MAX_DROPS_PER_SHARD = 10_000
"""A shard also ends at this many drops, so that those of a corpus of duplicates do not pile up in memory."""

_DEFAULT_COLUMNS = {"id": ("id", "doc_id"), "title": ("title",), "url": ("url",), "date": ("date", "timestamp")}
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
    shard_size: Annotated[int, _LATER] = 256
    """Texts per shard."""
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


class _Read(NamedTuple):
    """A row of the corpus as a whole document, not yet cut, or as a drop; neither at the end of a group of sources."""

    document: Document | None = None
    dropped: Dropped | None = None


def ingest(
    options: IngestOptions,
    tokenizer: "TextTokenizer",
    max_text_tokens: int,
    groups: Sequence[Sequence[str]] = (),
    *,
    only: Collection[str] | None = None,
) -> Iterator[Shard]:
    """The shards of a corpus, each of `shard_size` texts but the last; a shard may hold nothing but drops.

    `groups` names sources that were found together. They are read group by group, and each group begins a shard, so
    that a corpus that has grown gives the shards that it gave before, and then those of the sources that were added.
    With `only`, the sources of these names are read and no others.
    The corpus is checked before this returns. Raises ValueError, in one line, for a location that is missing or
    unreadable, and for a column that is not there; while iterating, for an empty corpus or a damaged file.
    """
    sources = [source for source in find_sources(options.corpus) if only is None or source.name in only]
    check_columns(sources, list(options.named_columns.values()))
    rows = _without_duplicates(_read_rows(_group(sources, groups), options.columns))
    return _shards(_limited(rows, options.max_documents), options.shard_size, tokenizer, max_text_tokens)


def _group(sources: Sequence[Source], groups: Sequence[Sequence[str]]) -> list[list[Source]]:
    """The sources in the given groups, and the others as the last group."""
    left = {source.name: source for source in sources}
    grouped = [[left.pop(name) for name in group if name in left] for group in groups]
    return [*grouped, list(left.values())]


def _shards(
    rows: Iterable[_Read], shard_size: int, tokenizer: "TextTokenizer", max_text_tokens: int
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


def _limited(rows: Iterable[_Read], max_documents: int | None) -> Iterator[_Read]:
    num_documents = 0
    for row in rows:
        yield row
        num_documents += row.document is not None
        if num_documents == max_documents:
            return


def _read_rows(groups: Sequence[Sequence[Source]], columns: Mapping[str, Sequence[str]]) -> Iterator[_Read]:
    # The text's column comes first: a text file takes its text for the first wanted column.
    wanted = list(dict.fromkeys(column for role in ("text", *columns) for column in columns[role]))
    is_empty = True
    for group in groups:
        for source in group:
            for row in source.rows(wanted):
                is_empty = False
                yield _read_row(source.name, row, columns)
        yield _Read()
    if is_empty:
        names = [source.name for group in groups for source in group]
        raise ValueError(f"corpus {', '.join(names[:3])} is empty: it holds no document")


def _without_duplicates(rows: Iterable[_Read]) -> Iterator[_Read]:
    seen: set[bytes] = set()
    for row in rows:
        if row.document is None or (digest := bytes.fromhex(row.document.text_id)) not in seen:
            if row.document:
                seen.add(digest)
            yield row
        else:
            yield _drop("duplicate", f"{row.document.text_id}-0", row.document.doc_id)


def _read_row(source: str, row: SourceRow, columns: Mapping[str, Sequence[str]]) -> _Read:
    """The whole document of a row, `text_id` still without its part number; or the drop that the row became."""
    place = f"{source}#{row.number}"
    if row.values is None:
        reason, detail = row.fault or ("invalid_row", "unreadable")
        return _drop(reason, place, f"{place}: {detail}")
    values = {role: _first_value(row.values, names) for role, names in columns.items()}
    try:
        text = values["text"].decode("utf-8") if isinstance(values["text"], bytes) else values["text"]
        digest = hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest() if isinstance(text, str) else ""
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        return _drop("invalid_utf8", place, f"{place}: {error.reason}")
    if not isinstance(text, str):
        kind = "no text" if text is None else f"a {type(text).__name__} where a text should be"
        return _drop("missing_text", place, f"{place}: {kind} in column {columns['text'][0]!r}")
    if not text.strip():
        return _drop("empty_text", f"{digest}-0", place)
    url = _as_string(values["url"])
    return _Read(
        Document(
            text_id=digest,
            doc_id=_as_string(values["id"]) or place,
            part=0,
            text=text,
            title=_as_string(values["title"]),
            url=url,
            date=parse_date(values["date"]) or (date_from_url(url) if url else None),
            source=source,
        )
    )


def _first_value(values: Mapping[str, object], columns: Sequence[str]) -> object:
    return next((values[column] for column in columns if values.get(column) is not None), None)


def _as_string(value: object) -> str | None:
    """A string or number as a string that can be stored; None for everything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).encode("utf-8", "replace").decode("utf-8")
    return None


def _drop(reason: str, text_id: str, detail: str) -> _Read:
    return _Read(
        dropped=Dropped(
            stage="ingest", reason=reason, text_id=text_id, tool=None, char_offset=None, detail=detail[:200], count=1
        )
    )
