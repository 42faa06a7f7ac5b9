"""One declaration, two uses: a frozen dataclass is the record, and its annotations give the Arrow schema.

Annotations understood: `str`, `int` (int32), `float` (float32), `bool`, `datetime.date` (date32), each also
with `| None` (a nullable column), and `tuple[Record, ...]` (a list of structs).
"""

import dataclasses
import datetime
import functools
import types
import typing
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

RecordT = typing.TypeVar("RecordT", bound="Record")
ResultT = typing.TypeVar("ResultT")

ARROW_TYPES = {
    str: pa.string(),
    int: pa.int32(),
    float: pa.float32(),
    bool: pa.bool_(),
    datetime.date: pa.date32(),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """A row at a border between two stages. Subclasses declare its fields and the name of its table."""

    table: typing.ClassVar[str] = ""
    """The folder of a run that holds these rows. Empty for a record that is only a part of rows, and for dropped rows,
    for which each stage has a folder of its own."""


def _cached(function: Callable[[type[Record]], ResultT]) -> Callable[[type[Record]], ResultT]:
    # functools.cache is typed to take Hashable arguments, which mypy does not consider a class to be.
    return functools.cache(function)  # type: ignore[return-value]


@_cached
def arrow_schema(record: type[Record]) -> pa.Schema:
    """The Arrow schema that a record class declares, in field order."""
    return pa.schema(_arrow_fields(record))


def to_table(record: type[Record], rows: Iterable[Record]) -> pa.Table:
    """Rows as an Arrow table of the record's schema. Raises pyarrow.ArrowInvalid if a value does not fit its column."""
    # Not dataclasses.asdict: it copies every value, which is a third of the time of writing a shard.
    plain = [_plain(row) for row in rows]
    table = pa.Table.from_pylist(plain, schema=arrow_schema(record))
    for field, column in zip(table.schema, table.columns, strict=True):
        if column.null_count and not field.nullable:
            raise pa.ArrowInvalid(f"{column.null_count} rows without a value for {field.name}")
    return table


def from_plain(record: type[RecordT], rows: Iterable[dict[str, typing.Any]]) -> Iterator[RecordT]:
    """Records made of a table's rows, given as dictionaries, which are changed."""
    nested = {name: item for name, hint in _annotations(record).items() if (item := _nested_record(hint))}
    for row in rows:
        for name, item in nested.items():
            row[name] = tuple(item(**entry) for entry in row[name])
        yield record(**row)


def _plain(row: Record) -> dict[str, object]:
    return {
        name: [_plain(entry) for entry in value] if isinstance(value, tuple) else value
        for name, value in vars(row).items()
    }


def _arrow_fields(record: type[Record]) -> list[pa.Field]:
    return [_arrow_field(name, annotation) for name, annotation in _annotations(record).items()]


@_cached
def _annotations(record: type[Record]) -> dict[str, typing.Any]:
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def _arrow_field(name: str, annotation: typing.Any) -> pa.Field:
    if item := _nested_record(annotation):
        return pa.field(name, pa.list_(pa.struct(_arrow_fields(item))), nullable=False)
    nullable = isinstance(annotation, types.UnionType)
    if nullable:
        (annotation,) = (arm for arm in typing.get_args(annotation) if arm is not types.NoneType)
    return pa.field(name, ARROW_TYPES[annotation], nullable=nullable)


def _nested_record(annotation: typing.Any) -> type[Record] | None:
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is tuple else None
