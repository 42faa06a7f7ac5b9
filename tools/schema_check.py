"""What a tool says of itself, made harmless: its JSON schema, its name and its description may be a stranger's.

A checked schema has only the keywords below, no references, and bounded size and depth. What is left out, such as
`pattern`, whose expressions may take forever, the tool checks itself; so a checked schema refuses nothing that the
given one allows, except arguments that have no name in it. Nothing is ever fetched. Texts are one line without square
brackets, which would end a call in a prompt.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.errors import UnusableError

MAX_PARAMETERS = 64
MAX_PARTS = 2_000
"""Schemas inside a schema, all references followed."""
MAX_DEPTH = 16
MAX_ENTRIES = 512
"""Of an `enum`, of `required`, of the alternatives of `anyOf`."""
MAX_CHARS = 64_000
"""Of the whole schema, as JSON."""
MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 500
MAX_VALUE_CHARS = 200
MAX_NUMBER = 10**18
MIN_MULTIPLE = 1e-12

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
# Exactly one of several would be broken by what is left out of them; at least one is not.
_ALTERNATIVES = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}


def check_schema(schema: object, shown: str) -> dict[str, Any]:
    """The schema of a tool's arguments, checked and cleaned. Raises UnusableError, one line, that names the tool.

    `shown` is the tool for messages, such as its place.
    """
    checked = _Check(shown=shown, root=schema).part(schema, 0, ())
    checked = {"type": "object", "properties": {}, "required": [], **checked}
    if checked["type"] != "object":
        _refuse(shown, f"its schema is of type {checked['type']}, and arguments are an object")
    unknown = [name for name in checked["required"] if name not in checked["properties"]]
    if unknown:
        _refuse(shown, f"its schema requires {unknown[0]}, which is not among its properties")
    if not _ALTERNATIVES.keys() & checked.keys():
        checked.setdefault("additionalProperties", False)
    if (size := len(json.dumps(checked))) > MAX_CHARS:
        _refuse(shown, f"its schema has {size:,} characters; at most {MAX_CHARS:,} are read")
    return checked


def check_name(name: object, shown: str) -> str:
    """The name of a tool or of a parameter, as it may stand in a call. Raises UnusableError."""
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS or not _IDENTIFIER.fullmatch(name):
        _refuse(shown, f"{_told(name)} cannot be a name in a call: letters, digits and _, at most {MAX_NAME_CHARS}")
    return name


def clean_description(text: object, most: int = MAX_DESCRIPTION_CHARS) -> str:
    """What a tool or a parameter is, in one line that ends in a full stop; empty if there is nothing to read."""
    cleaned = clean_result(text[: 4 * most], most) if isinstance(text, str) else ""
    return cleaned if not cleaned or cleaned.endswith((".", "!", "?")) else f"{cleaned[: most - 1]}."


@dataclass(kw_only=True)
class _Check:
    """One schema; counts the parts, so that references that multiply each other end."""

    shown: str
    root: object
    num_parts: int = field(default=0)

    def part(self, part: object, depth: int, followed: tuple[str, ...]) -> dict[str, Any]:
        """A schema or one inside it; `followed` are the references that led to it."""
        self.num_parts += 1
        if self.num_parts > MAX_PARTS or depth > MAX_DEPTH:
            _refuse(self.shown, f"its schema is too large: at most {MAX_PARTS:,} parts and {MAX_DEPTH} in each other")
        if part is True:
            return {}
        if not isinstance(part, Mapping):
            _refuse(self.shown, f"a part of its schema is {_told(part)} and no object")
        if "$ref" in part:
            description = clean_description(part.get("description"))
            return self._behind(part["$ref"], depth, followed) | ({"description": description} if description else {})
        return self._plain(part, depth) | self._inside(part, depth, followed)

    def _behind(self, reference: object, depth: int, followed: tuple[str, ...]) -> dict[str, Any]:
        shown = _told(reference)
        if not isinstance(reference, str) or not reference.startswith("#/"):
            _refuse(self.shown, f"its schema refers to {shown}; only what is in the schema itself is read")
        if reference in followed:
            _refuse(self.shown, f"its schema refers to itself in {shown}, and a call has no such depth")
        found = self.root
        for step in reference[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        if found is None:
            _refuse(self.shown, f"its schema refers to {shown}, which is not in it")
        return self.part(found, depth + 1, (*followed, reference))

    def _plain(self, part: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """What holds no schema."""
        plain: dict[str, Any] = {}
        if "type" in part:
            plain["type"] = self._type(part["type"])
        if description := clean_description(part.get("description")):
            plain["description"] = description
        for name in _NUMBERS + _COUNTS:
            # In old schemas `exclusiveMinimum` is true or false.
            if name in part and not isinstance(part[name], bool):
                plain[name] = self._number(name, part[name])
        if "enum" in part:
            plain["enum"] = [self._value(value) for value in self._list("enum", part["enum"])]
        for name in ("const", "default"):
            if name in part:
                plain[name] = self._value(part[name])
        if "required" in part:
            plain["required"] = [self._name(name, depth) for name in self._list("required", part["required"], 0)]
        return plain

    def _inside(self, part: Mapping[str, Any], depth: int, followed: tuple[str, ...]) -> dict[str, Any]:
        """The schemas in it."""
        inside: dict[str, Any] = {}
        properties = part.get("properties", {})
        if not isinstance(properties, Mapping) or len(properties) > MAX_PARAMETERS:
            _refuse(self.shown, f"its schema has no usable properties; at most {MAX_PARAMETERS} are read")
        if properties:
            inside["properties"] = {
                self._name(name, depth): self.part(value, depth + 1, followed) for name, value in properties.items()
            }
        # Where items or properties are told in ways that are left out, the rest is not all the others.
        if isinstance(part.get("items"), Mapping) and "prefixItems" not in part:
            inside["items"] = self.part(part["items"], depth + 1, followed)
        if isinstance(part.get("additionalProperties"), bool) and "patternProperties" not in part:
            inside["additionalProperties"] = part["additionalProperties"]
        for name, kept in _ALTERNATIVES.items():
            if name in part:
                inside[kept] = [self.part(one, depth + 1, followed) for one in self._list(name, part[name])]
        return inside

    def _name(self, name: object, depth: int) -> str:
        """The name of an argument or, inside an object, which is written as JSON, any short text."""
        if depth == 0:
            return check_name(name, self.shown)
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS or clean_result(name) != name:
            _refuse(self.shown, f"its schema has the name {_told(name)}; at most {MAX_NAME_CHARS} plain characters")
        return name

    def _type(self, kind: object) -> str | list[str]:
        kinds = kind if isinstance(kind, list) else [kind]
        if not 0 < len(kinds) <= len(_TYPES) or not all(isinstance(one, str) and one in _TYPES for one in kinds):
            _refuse(self.shown, f"its schema has the type {_told(kind)}; there are {', '.join(_TYPES)}")
        return kind  # type: ignore[return-value]

    def _number(self, name: str, value: object) -> int | float:
        if not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
            _refuse(self.shown, f"its schema has {name} {_told(value)}, which is no usable number")
        if name in _COUNTS and (value < 0 or value != int(value)):
            _refuse(self.shown, f"its schema has {name} {_told(value)}, which is no count")
        if name == "multipleOf" and not value > MIN_MULTIPLE:
            _refuse(self.shown, f"its schema has multipleOf {_told(value)}; it must be more than {MIN_MULTIPLE}")
        return value

    def _list(self, name: str, values: object, least: int = 1) -> Sequence[Any]:
        if not isinstance(values, list | tuple) or not least <= len(values) <= MAX_ENTRIES:
            _refuse(self.shown, f"its schema has no usable {name}: at least {least} and at most {MAX_ENTRIES} entries")
        return values

    def _value(self, value: object, *, may_hold: bool = True) -> Any:
        """A value that calls may have, or that holds where they have none; of lists and objects only flat ones."""
        if may_hold and isinstance(value, list | dict) and len(value) <= MAX_PARAMETERS:
            entries = value.items() if isinstance(value, dict) else ((str(n), each) for n, each in enumerate(value))
            held = {self._name(name, 1): self._value(each, may_hold=False) for name, each in entries}
            return held if isinstance(value, dict) else list(held.values())
        is_number = isinstance(value, int | float) and abs(value) <= MAX_NUMBER
        is_text = isinstance(value, str) and len(value) <= MAX_VALUE_CHARS
        if not (value is None or is_number or is_text):
            _refuse(self.shown, f"its schema has the value {_told(value)}, which is too large for a call")
        return value


def _told(value: object) -> str:
    """What a message says of a value, which may be of any size and depth."""
    if isinstance(value, str):
        return repr(value[:40]) if len(value) <= 40 else f"{value[:40]!r} and {len(value) - 40:,} characters more"
    is_short = value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) <= MAX_NUMBER)
    return str(value) if is_short else f"a {type(value).__name__}"


def _refuse(shown: str, fault: str) -> NoReturn:
    raise UnusableError(f"{shown}: {fault}")
