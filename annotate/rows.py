"""A row of a source becomes a document, or a drop with its reason.

Only a row without a usable text is dropped. Of the other values, what cannot be understood is None.
"""

import datetime
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from toolformer_ray.annotate.dates import date_from_url, parse_date
from toolformer_ray.annotate.reading.json_rows import WrittenNumber
from toolformer_ray.annotate.reading.source import SourceRow
from toolformer_ray.records.stages import Document, Dropped

MAX_DETAIL_CHARS = 200


class ReadRow(NamedTuple):
    """A row of the corpus as a whole document, not yet cut, or as a drop; neither at the end of a group of sources."""

    document: Document | None = None
    dropped: Dropped | None = None


def read_row(
    source: str, row: SourceRow, columns: Mapping[str, Sequence[str]], given: Mapping[str, str] = MappingProxyType({})
) -> ReadRow:
    """The whole document of a row, `text_id` still without its part number; or the drop that the row became.

    `given` are values for what the row does not have.
    """
    place = f"{source}#{row.number}"
    if row.values is None:
        reason, detail = row.fault or ("invalid_row", "unreadable")
        return dropped_as(reason, place, f"{place}: {detail}")
    text = _first_value(row.values, columns["text"])
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        digest = hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest() if isinstance(text, str) else ""
    except UnicodeError as error:
        return dropped_as("invalid_utf8", place, f"{place}: {getattr(error, 'reason', error)}")
    if not isinstance(text, str):
        kind = "no text" if text is None else f"a {_kind_of(text)} where a text should be"
        return dropped_as("missing_text", place, f"{place}: {kind} in column {columns['text'][0]!r}")
    if not text.strip():
        return dropped_as("empty_text", f"{digest}-0", place)
    url = _as_string(_first_value(row.values, columns["url"], given))
    return ReadRow(
        Document(
            text_id=digest,
            doc_id=_as_id(_first_value(row.values, columns["id"], given)) or place,
            part=0,
            text=text,
            title=_as_string(_first_value(row.values, columns["title"], given)),
            url=url,
            date=_date(row.values, columns["date"], given, url),
            source=source,
        )
    )


def dropped_as(reason: str, text_id: str, detail: str) -> ReadRow:
    """A drop of the ingest stage."""
    return ReadRow(
        dropped=Dropped(
            stage="ingest",
            reason=reason,
            text_id=text_id,
            tool=None,
            char_offset=None,
            detail=_storable(detail[:MAX_DETAIL_CHARS]),
            count=1,
        )
    )


def _first_value(
    values: Mapping[str, object], columns: Sequence[str], given: Mapping[str, str] = MappingProxyType({})
) -> object:
    """The first of the columns that has a value in the row, else the first that is given for all rows."""
    found = (some[column] for some in (values, given) for column in columns if some.get(column) is not None)
    return next(found, None)


def _kind_of(value: object) -> str:
    return "float" if isinstance(value, WrittenNumber) else type(value).__name__


def _as_id(value: object) -> str | None:
    """An id to the letter, so that different ones stay different; None if there is none, as in NaN for no number.

    Texts, numbers and UUIDs are themselves, other bytes are hexadecimal, and what is nested is its JSON.
    """
    if isinstance(value, bytes):
        return _decoded(value) or value.hex()
    if value is None or (isinstance(value, float | Decimal) and not math.isfinite(value) and not _is_written(value)):
        return None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, str | int | float | datetime.date | datetime.time) and not isinstance(value, bool):
        return _number_or_text(value).encode("utf-8", "backslashreplace").decode("utf-8")
    is_json = isinstance(value, bool | list | tuple | dict)
    written = json.dumps(value, ensure_ascii=False, default=_inner_id) if is_json else str(value)
    return written.encode("utf-8", "backslashreplace").decode("utf-8")


def _inner_id(value: object) -> str:
    """What JSON has no way to write."""
    return _decoded(value) or value.hex() if isinstance(value, bytes) else str(value)


def _as_string(value: object) -> str | None:
    """A text or number as a string that can be stored; None for everything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    is_nan = isinstance(value, float) and math.isnan(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool) and not is_nan:
        return _storable(_number_or_text(value))
    return None


def _number_or_text(value: object) -> str:
    return value.written if isinstance(value, WrittenNumber) else str(value)


def _is_written(value: object) -> bool:
    """Whether it is a number that only a float cannot hold."""
    return isinstance(value, WrittenNumber)


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _date(
    values: Mapping[str, object], columns: Sequence[str], given: Mapping[str, str], url: str | None
) -> datetime.date | None:
    """The day of a column, else of a folder's name, else of the URL."""
    written = (parse_date(_first_value(found, columns)) for found in (values, given))
    return next(filter(None, written), None) or (date_from_url(url) if url else None)
