"""Stage 1, ingest: from a corpus to documents that fit the model's window. CPU only, no model weights.

Reads: files, folders, globs, URIs, data sets (`annotate/corpus.py` has the spellings).
Writes: shards of `documents`, in the order of the corpus.
Drops: `duplicate` (a text equal to the letter to an earlier one), `empty_text` (nothing but white space),
`missing_text`, `invalid_utf8`, `invalid_row`.

Limits: only exact duplicates are found, by a 16-byte hash kept for every text read, about 100 bytes of memory each.
A plain text file is read whole; everything else streams.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from toolformer_ray.annotate.corpus import check_columns, find_sources
from toolformer_ray.annotate.cutting import cut
from toolformer_ray.annotate.dates import date_from_url, parse_date
from toolformer_ray.annotate.sources import SourceRow
from toolformer_ray.records.stages import Document, Dropped

if TYPE_CHECKING:
    from toolformer_ray.annotate.sources import Source
    from toolformer_ray.lm.tokenizer import TextTokenizer

MAX_DROPS_PER_SHARD = 10_000
"""A shard is closed at this many drops too, so that a corpus of duplicates does not gather in memory."""

_DEFAULT_ID_COLUMNS = ("id", "doc_id")
_DEFAULT_TITLE_COLUMNS = ("title",)
_DEFAULT_URL_COLUMNS = ("url",)
_DEFAULT_DATE_COLUMNS = ("date", "timestamp")


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """What to read, and how much of it makes a shard."""

    corpus: tuple[str, ...]
    """Files, folders, globs (local, s3://, gs://) and Hugging Face data sets (hf:NAME[:CONFIG[:SPLIT]])."""
    text_column: str = "text"
    """The column that holds the text."""
    id_column: str | None = None
    """The column that names a document; default: `id` or `doc_id` where there is one, else source and row number."""
    title_column: str | None = None
    """The column with the title; default: `title` where there is one."""
    url_column: str | None = None
    """The column with the URL; default: `url` where there is one."""
    date_column: str | None = None
    """The column with the day of writing; default: `date` or `timestamp` where there is one. Else the URL tells."""
    shard_size: int = 256
    """Texts per shard."""
    max_documents: int | None = None
    """Stop after this many documents of the corpus (before cutting, duplicates not counted); None reads all."""

    def __post_init__(self) -> None:
        if self.shard_size < 1:
            raise ValueError(f"shard_size is {self.shard_size}; it must be at least 1 text")
        if self.max_documents is not None and self.max_documents < 1:
            raise ValueError(f"max_documents is {self.max_documents}; it must be at least 1, or left out to read all")
        if isinstance(self.corpus, str) or not self.corpus:
            raise ValueError(f"corpus is {self.corpus!r}; name at least one file, folder, glob or hf:NAME")


class Shard(NamedTuple):
    """What one shard of the run folder holds after ingest."""

    documents: list[Document]
    dropped: list[Dropped]


class _Reading(NamedTuple):
    """One row of the corpus: a whole document (not yet cut), or why it was dropped; neither where a shard ends."""

    document: Document | None
    dropped: Dropped | None


def ingest(
    options: IngestOptions,
    tokenizer: "TextTokenizer",
    max_text_tokens: int,
    readings: Sequence[Sequence[str]] = (),
    *,
    only: Collection[str] | None = None,
) -> Iterator[Shard]:
    """The shards of a corpus, each of `shard_size` texts but the last; a shard may hold nothing but drops.

    `readings` names sources that were found together. They are read in this order, and each reading begins a shard, so
    that a corpus that has grown gives the shards that it gave before, and then those of the sources that were added.
    With `only`, the sources of these names are read and no others.
    The corpus is checked before this returns. Raises ValueError, in one line, for a location that is missing or
    unreadable, and for a column that is not there; while iterating, for an empty corpus or a damaged file.
    """
    sources = [source for source in find_sources(options.corpus) if only is None or source.name in only]
    named = (options.id_column, options.title_column, options.url_column, options.date_column)
    check_columns(sources, [options.text_column, *(column for column in named if column)])
    return _shards(_read(_group(sources, readings), options), options, tokenizer, max_text_tokens)


def _group(sources: Sequence["Source"], readings: Sequence[Sequence[str]]) -> list[list["Source"]]:
    left = {source.name: source for source in sources}
    groups = [[left.pop(name) for name in reading if name in left] for reading in readings]
    return [*groups, list(left.values())]


def _shards(
    readings: Iterable[_Reading], options: IngestOptions, tokenizer: "TextTokenizer", max_text_tokens: int
) -> Iterator[Shard]:
    shard = Shard([], [])
    for document, dropped in readings:
        if dropped:
            shard.dropped.append(dropped)
        for piece in _pieces(document, tokenizer, max_text_tokens) if document else ():
            shard.documents.append(piece)
            if len(shard.documents) == options.shard_size:
                yield shard
                shard = Shard([], [])
        is_border = not (document or dropped) and (shard.documents or shard.dropped)
        if is_border or len(shard.dropped) >= MAX_DROPS_PER_SHARD:
            yield shard
            shard = Shard([], [])
    if shard.documents or shard.dropped:
        yield shard


def _pieces(document: Document, tokenizer: "TextTokenizer", max_text_tokens: int) -> Iterator[Document]:
    whole = vars(document)
    for part, text in enumerate(cut(document.text, max_text_tokens, tokenizer)):
        yield Document(**whole | {"text_id": f"{document.text_id}-{part}", "part": part, "text": text})


def _read(groups: Sequence[Sequence["Source"]], options: IngestOptions) -> Iterator[_Reading]:
    readings = _without_duplicates(_read_all(groups, options))
    if options.max_documents is None:
        yield from readings
        return
    left = options.max_documents
    for reading in readings:
        yield reading
        left -= reading.document is not None
        if left == 0:
            return


def _read_all(groups: Sequence[Sequence["Source"]], options: IngestOptions) -> Iterator[_Reading]:
    wanted = list(dict.fromkeys(column for columns in _columns(options).values() for column in columns))
    is_empty = True
    for group in groups:
        for source in group:
            for row in source.rows(wanted):
                is_empty = False
                yield _read_row(source.name, row, options)
        yield _Reading(None, None)
    if is_empty:
        names = [source.name for group in groups for source in group]
        raise ValueError(f"corpus {', '.join(names[:3])} is empty: it holds no document")


def _without_duplicates(readings: Iterable[_Reading]) -> Iterator[_Reading]:
    seen: set[bytes] = set()
    for reading in readings:
        document = reading.document
        if document is None:
            yield reading
            continue
        digest = bytes.fromhex(document.text_id)
        if digest in seen:
            yield _Reading(None, _dropped("duplicate", f"{document.text_id}-0", document.doc_id))
        else:
            seen.add(digest)
            yield reading


def _read_row(source: str, row: SourceRow, options: IngestOptions) -> _Reading:
    """The whole document of a row, `text_id` still without its part number; or the drop that the row became."""
    place = f"{source}#{row.number}"
    if row.values is None:
        reason, detail = row.fault or ("invalid_row", "unreadable")
        return _Reading(None, _dropped(reason, place, f"{place}: {detail}"))
    values = {role: _first_value(row.values, columns) for role, columns in _columns(options).items()}
    try:
        text = values["text"].decode("utf-8") if isinstance(values["text"], bytes) else values["text"]
        digest = hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest() if isinstance(text, str) else ""
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        return _Reading(None, _dropped("invalid_utf8", place, f"{place}: {error.reason}"))
    if not isinstance(text, str):
        kind = "no text" if text is None else f"a {type(text).__name__} where a text should be"
        return _Reading(None, _dropped("missing_text", place, f"{place}: {kind} in column {options.text_column!r}"))
    if not text.strip():
        return _Reading(None, _dropped("empty_text", f"{digest}-0", place))
    url = _written(values["url"])
    document = Document(
        text_id=digest,
        doc_id=_written(values["id"]) or place,
        part=0,
        text=text,
        title=_written(values["title"]),
        url=url,
        date=parse_date(values["date"]) or (date_from_url(url) if url else None),
        source=source,
    )
    return _Reading(document, None)


def _columns(options: IngestOptions) -> dict[str, tuple[str, ...]]:
    """For each role the columns that may fill it, the first that is there and not null counts."""
    return {
        "text": (options.text_column,),
        "id": (options.id_column,) if options.id_column else _DEFAULT_ID_COLUMNS,
        "title": (options.title_column,) if options.title_column else _DEFAULT_TITLE_COLUMNS,
        "url": (options.url_column,) if options.url_column else _DEFAULT_URL_COLUMNS,
        "date": (options.date_column,) if options.date_column else _DEFAULT_DATE_COLUMNS,
    }


def _first_value(values: dict[str, object], columns: tuple[str, ...]) -> object:
    return next((values[column] for column in columns if values.get(column) is not None), None)


def _written(value: object) -> str | None:
    """A string or number as a string that can be stored; None for everything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value).encode("utf-8", "replace").decode("utf-8")
    return None


def _dropped(reason: str, text_id: str, detail: str) -> Dropped:
    return Dropped(
        stage="ingest", reason=reason, text_id=text_id, tool=None, char_offset=None, detail=detail[:200], count=1
    )
