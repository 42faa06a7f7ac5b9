"""What a tool that users bring lacks or has wrong, as far as its class tells, without asking it anything."""

import dataclasses
import typing

import docstring_parser

from toolformer_ray.records.calls import find_calls
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.options import Asking, Teaching, ToolOptions
from toolformer_ray.tools.schema_check import check_name
from toolformer_ray.tools.tool import Tool


def declaration_fault(tool: type[Tool]) -> str | None:
    """The first thing that is missing or wrong, as the end of a sentence; None if the tool can be used."""
    shown = tool.__name__
    for attribute in ("name", "description"):
        if not getattr(tool, attribute, None):
            return f"{shown} has no {attribute}; give the class one"
    try:
        check_name(tool.name, shown)
    except UnusableError as error:
        return str(error)
    if isinstance(tool.demonstrations, str):
        return f"{shown} has one text as demonstrations; give several, in parentheses"
    for text in tool.demonstrations:
        calls = find_calls(text)
        if not calls or any(call.tool != tool.name or call.result is not None for call in calls):
            return f"{shown} has a demonstration without calls of its own, or with results: {text[:60]!r}"
    return _fault_of_options(tool, shown)


def _fault_of_options(tool: type[Tool], shown: str) -> str | None:
    """The command line makes options of the record's fields: it needs a type, a default and a docstring of each."""
    record = tool.Options
    if not (dataclasses.is_dataclass(record) and issubclass(record, ToolOptions)):
        return f"{shown}.Options is no dataclass that is derived from ToolOptions"
    taken = {field.name for other in (Teaching, Asking) for field in dataclasses.fields(other)}
    try:
        hints = typing.get_type_hints(record)
    except NameError as error:
        return f"{shown}.Options has a type that is not there: {error}"
    told = {one.arg_name: one.description for one in docstring_parser.parse_from_object(record).params}
    for field in dataclasses.fields(record):
        if field.name not in hints or (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ):
            return f"{shown}.Options.{field.name} has no default; give it one"
        if not told.get(field.name):
            return f"{shown}.Options.{field.name} has no docstring; say below it what it is"
        if field.name in taken:
            return f"{shown}.Options.{field.name} is an option of every tool; give it another name"
    return None
