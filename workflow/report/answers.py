"""Writes the answer to a question in SQL: a table for people, or rows for other programs."""

import csv
import datetime
import json
import math
from collections.abc import Iterator
from typing import Any, Literal, TextIO

import duckdb

from toolformer_ray.workflow.report.text_table import text_table

Form = Literal["table", "full", "csv", "json"]
"""A table cut to what a terminal shows, the whole table, or all rows as CSV or JSON Lines."""
MAX_ROWS_SHOWN = 100
MAX_CELL_CHARS = 120
_ROWS_AT_ONCE = 1_000


def write_answer(result: duckdb.DuckDBPyConnection, form: Form, out: TextIO) -> None:
    """Write the result of a statement. Only a table is in memory as a whole."""
    if not result.description:
        if form in ("table", "full"):
            print("done", file=out)
        return
    columns = [column[0] for column in result.description]
    if form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in _rows(result))
    elif form == "json":
        for row in _rows(result):
            print(json.dumps(dict(zip(columns, map(_plain, row), strict=True)), ensure_ascii=False), file=out)
    else:
        print(_table(columns, result, form), file=out)


def _table(columns: list[str], result: duckdb.DuckDBPyConnection, form: Form) -> str:
    if form == "full":
        return text_table(columns, [[_in_one_line(value) for value in row] for row in _rows(result)])
    rows = result.fetchmany(MAX_ROWS_SHOWN + 1)
    written = [[_in_one_line(value) for value in row] for row in rows[:MAX_ROWS_SHOWN]]
    shown = text_table(columns, [[_shorten(value) for value in row] for row in written])
    told = [f"only the first {MAX_ROWS_SHOWN} rows"] if len(rows) > MAX_ROWS_SHOWN else []
    if any(_shorten(value) != value for row in written for value in row):
        told.append(f"cells are cut at {MAX_CELL_CHARS} characters")
    return f"{shown}\n{'; '.join(told)}; --full, --csv or --json show all" if told else shown


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _in_one_line(value: object) -> object:
    """A row is one line: white space that would break it is written as Python does."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return repr(value)[1:-1] if isinstance(value, str) else str(value)


def _shorten(value: object) -> object:
    return value[: MAX_CELL_CHARS - 1] + "…" if isinstance(value, str) and len(value) > MAX_CELL_CHARS else value


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(_plain(value), ensure_ascii=False) if isinstance(value, list | dict | tuple) else value


def _plain(value: object) -> object:
    """A value as JSON has it: no number that is none, dates as ISO 8601, everything else as DuckDB shows it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
