"""Writes the options of a command, as they would be used, as TOML that `--config` reads."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.workflow.book.fingerprints import is_secret
from toolformer_ray.workflow.tool_choice import ToolChoice

if TYPE_CHECKING:
    from inspect import BoundArguments

    from cyclopts.argument import Argument, ArgumentCollection


def write_settings(place: str, command: str, collection: "ArgumentCollection", bound: "BoundArguments") -> None:
    """Write all options to a file, or to the standard output for `-`. Raises OptionError where that cannot be done."""
    text = "\n".join([f"# toolformer {command} --config …", *describe(collection, bound), ""])
    if place == "-":
        print(text, end="")
        return
    try:
        Path(place).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OptionError("write_config", place, f"it cannot be written ({one_line(error)})") from error


def describe(collection: "ArgumentCollection", bound: "BoundArguments") -> Iterator[str]:
    """The lines of the file: plain options under the titles of the help page, then a table for each tool."""
    panels: dict[str, list[str]] = {}
    tables: dict[str, list[str]] = {}
    for argument in collection:
        if argument.children or not argument.parse or not _is_told(argument):
            continue
        value, is_there = _value_of(argument, bound)
        table, _, name = argument.name.removeprefix("--").rpartition(".")
        if isinstance(value, Mapping):
            tables[name] = [_line(key, each) for key, each in value.items()]
        elif is_there and table:
            tables.setdefault(table, []).append(_line(name, value))
        elif is_there:
            title = argument.parameter.group[0].name  # type: ignore[index]
            panels.setdefault(title, []).append(_line(name, value))
    for title, lines in panels.items():
        yield from [f"\n# {title}", *lines]
    for table, lines in tables.items():
        yield from [f"\n[{table}]", *lines] if lines else []


def _is_told(argument: "Argument") -> bool:
    """Whether an option is on the help page, or is one that tools have although it is not."""
    return argument.show or "settings" in argument.keys


def _value_of(argument: "Argument", bound: "BoundArguments") -> tuple[Any, bool]:
    """What an option is set to, and whether it is in force: those of tools that were not chosen are not."""
    if not argument.keys:
        return bound.arguments.get(argument.field_info.name, argument.field_info.default), True
    # A command has one record of options, in which an option is found field by field.
    value: Any = next(each for each in bound.arguments.values() if hasattr(each, argument.keys[0]))
    for key in argument.keys:
        if isinstance(value, ToolChoice) and key in ("settings", "keys"):
            value = value.in_force() if key == "settings" else value.written
        elif isinstance(value, Mapping):
            if key not in value:
                return None, False
            value = value[key]
        else:
            value = getattr(value, key)
    return value, True


def _line(name: str, value: Any) -> str:
    if is_secret(name.replace("-", "_")):
        return f"# {name} is a secret: it is to be typed"
    if value is None:
        return f"# {name} is not set"
    return f"{name} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """A value as TOML writes it.

    >>> toml_value(("a", 1.5, True))
    '["a", 1.5, true]'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml_value, value))}]"
    # A basic string is escaped as in JSON, but for one control character, which JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
