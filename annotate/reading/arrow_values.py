"""Arrow columns as Python values, row by row: one odd value is None, and costs neither its column nor its file.

pyarrow's own conversion raises where Python has no such value: a day after the year 9999, a time zone that this machine
does not know, a string that is no UTF-8.
"""

import datetime
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_UNCONVERTIBLE = (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError, pa.ArrowException)


def plain_values(column: Any) -> list[object]:
    """The values of an Arrow array; strings that are no UTF-8 as their bytes, UUIDs as text, times in their zone."""
    kind: Any = column.type  # What only some types have is asked after the type.
    if isinstance(column, pa.ExtensionArray):
        stored = plain_values(column.storage)
        return _each(_uuid, stored) if kind.extension_name == "arrow.uuid" else stored
    if pt.is_dictionary(kind):
        return plain_values(column.dictionary_decode())
    if pt.is_timestamp(kind):
        zone = _zone(kind.tz)
        return _each(lambda ticks: _moment(ticks, _TICKS[kind.unit], zone), column.cast(pa.int64()).to_pylist())
    if pt.is_date(kind):
        per_day = 1 if pt.is_date32(kind) else 86_400_000
        days = column.cast(pa.int32() if pt.is_date32(kind) else pa.int64()).to_pylist()
        return _each(lambda day: _moment(day * 86_400, per_day, None).date(), days)
    undecoded = _undecoded(kind)
    try:
        values = column.cast(undecoded).to_pylist() if undecoded != kind else column.to_pylist()
    except _UNCONVERTIBLE:
        values = [_one(scalar) for scalar in column]
    return _each(_decoded, values) if undecoded != kind else values


def _undecoded(kind: Any) -> Any:
    """The type with bytes in place of strings, at any depth."""
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return pa.large_binary()
    if pt.is_map(kind):
        return pa.map_(_undecoded(kind.key_type), _undecoded(kind.item_type))
    if pt.is_fixed_size_list(kind):
        return pa.list_(_undecoded(kind.value_type), kind.list_size)
    if pt.is_list(kind) or pt.is_large_list(kind):
        value = kind.value_field.with_type(_undecoded(kind.value_type))
        return pa.list_(value) if pt.is_list(kind) else pa.large_list(value)
    if pt.is_struct(kind):
        fields = [kind.field(number) for number in range(kind.num_fields)]
        return pa.struct([field.with_type(_undecoded(field.type)) for field in fields])
    return kind


def _each(convert: Callable[..., object], values: Sequence[object]) -> list[object]:
    converted: list[object] = []
    for value in values:
        try:
            converted.append(None if value is None else convert(value))
        except _UNCONVERTIBLE:
            converted.append(None)
    return converted


def _one(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except _UNCONVERTIBLE:
        return None


def _decoded(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value


def _uuid(stored: bytes) -> str:
    return str(uuid.UUID(bytes=stored))


def _moment(ticks: int, per_second: int, zone: datetime.tzinfo | None) -> datetime.datetime:
    """Raises OverflowError beyond the years of Python."""
    moment = _EPOCH + datetime.timedelta(microseconds=ticks * 10**6 // per_second)
    return moment.astimezone(zone) if zone else moment.replace(tzinfo=None)


def _zone(name: str | None) -> datetime.tzinfo | None:
    """The zone of a column; UTC, in which its numbers are, if this machine does not know it."""
    if name is None:
        return None
    try:
        return pa.lib.string_to_tzinfo(name)
    except (LookupError, ValueError, OSError):
        return datetime.UTC
