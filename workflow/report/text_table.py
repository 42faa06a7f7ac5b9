"""Tables of plain text for a terminal or a pipe: columns of fixed width, no colours, no frame."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_RULE_BELOW_HEADER = Box("\n".join(["    ", "    ", " -  ", *["    "] * 5]) + "\n", ascii=True)
_WIDEST = 100_000


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with columns as wide as their cells, and numbers aligned to the right."""
    table = Table(box=_RULE_BELOW_HEADER, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column, title in enumerate(header):
        is_number = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        table.add_column(Text(title), justify="right" if is_number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(file=io.StringIO(), width=_WIDEST, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def record_table(records: Sequence[Any], titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """A line per record and a column per field, titled by its name unless `titles` has another; empty without
    records."""
    if not records:
        return ""
    names = [field.name for field in fields(records[0])]
    header = [titles.get(name, name.replace("_", " ")) for name in names]
    return text_table(header, [[getattr(record, name) for name in names] for record in records])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
