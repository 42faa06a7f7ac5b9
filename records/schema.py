"""One declaration, two uses: a frozen dataclass is the record, and its annotations give the Arrow schema.

Annotations understood: `str`, `int` (int32), `float` (float32), `bool`, `datetime.date` (date32), each also
with `| None` (a nullable column), `tuple[Record, ...]` (a list of structs), and a tuple of plain values (a list).

A column that is added later has a default, with which older shards are read; one that is given up is named in `former`.
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
    former: typing.ClassVar[frozenset[str]] = frozenset()
    """Columns that older shards have and nothing reads any more."""


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


def is_readable(record: type[Record], schema: pa.Schema) -> bool:
    """Whether rows of a file with these columns are rows of the record, of today or from before a column was added."""
    added = {field.name for field in dataclasses.fields(record) if field.default is not dataclasses.MISSING}
    today = [field for field in arrow_schema(record) if field.name in schema.names or field.name not in added]
    return [field for field in schema if field.name not in record.former] == today


def from_plain(record: type[RecordT], rows: Iterable[dict[str, typing.Any]]) -> Iterator[RecordT]:
    """Records made of a table's rows, given as dictionaries, which are changed."""
    lists = {name: _listed(hint) for name, hint in _annotations(record).items() if typing.get_origin(hint) is tuple}
    for row in rows:
        for name in record.former & row.keys():
            del row[name]
        for name, item in lists.items():
            if name in row:
                row[name] = tuple(item(**entry) if issubclass(item, Record) else entry for entry in row[name])
        yield record(**row)


def _plain(row: Record) -> dict[str, object]:
    return {
        name: [_plain(entry) if isinstance(entry, Record) else entry for entry in value]
        if isinstance(value, tuple)
        else value
        for name, value in vars(row).items()
    }


def _arrow_fields(record: type[Record]) -> list[pa.Field]:
    return [_arrow_field(name, annotation) for name, annotation in _annotations(record).items()]


@_cached
def _annotations(record: type[Record]) -> dict[str, typing.Any]:
    hints = typing.get_type_hints(record)
    return {field.name: hints[field.name] for field in dataclasses.fields(record)}


def _arrow_field(name: str, annotation: typing.Any) -> pa.Field:
    if typing.get_origin(annotation) is tuple:
        item = _listed(annotation)
        entry: typing.Any = pa.struct(_arrow_fields(item)) if issubclass(item, Record) else ARROW_TYPES[item]
        return pa.field(name, pa.list_(entry), nullable=False)
    nullable = isinstance(annotation, types.UnionType)
    if nullable:
        (annotation,) = (arm for arm in typing.get_args(annotation) if arm is not types.NoneType)
    return pa.field(name, ARROW_TYPES[annotation], nullable=nullable)


def _listed(annotation: typing.Any) -> type[typing.Any]:
    """What a `tuple[..., ...]` holds."""
    item: type[typing.Any] = typing.get_args(annotation)[0]
    return item
