"""Tools whose calls have named arguments, `Convert(amount=26, unit="km")`, and the arguments of any call.

A call's arguments are read by the tool's schema before the tool is asked: what the schema refuses is `bad_input`, and
the row's note names the argument. A tool of one argument may be given it as it is, `Convert(26 km)`.
"""

import functools
import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from toolformer_ray.records.calls import unquote
from toolformer_ray.tools.arguments import Arguments, parse_arguments
from toolformer_ray.tools.tool import BadInput, CallContext, Tool
from toolformer_ray.tools.wanted_places import before_new_words_and_numbers

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]


class NamedArgumentsTool(Tool):
    """A tool that is called with named arguments; `schema` tells them, as `tools.schema_check` gives it."""

    schema: ClassVar[Mapping[str, Any]]

    def wanted_places(self, text: str) -> Iterable[int]:
        """Before new words and numbers: a schema does not say what is answered."""
        return before_new_words_and_numbers(text)

    def run(self, call_input: str, context: CallContext) -> str:
        """The answer to a call whose arguments the schema allows."""
        return self.call(read_arguments(self.schema, call_input), context)

    @abstractmethod
    def call(self, arguments: Mapping[str, Any], context: CallContext) -> str:
        """The answer; `arguments` are valid by the schema. Raises as `Tool.run` does."""


def schema_of(tool: type[Tool] | Tool) -> Mapping[str, Any]:
    """The JSON schema of a call's arguments: the tool's own or, where a call has one text, that of its parameter."""
    if tool.schema is not None:
        return tool.schema
    properties = {name: {"type": "string", "description": meaning} for name, meaning in tool.parameters.items()}
    return {"type": "object", "properties": properties, "required": list(tool.parameters)}


def arguments_of(tool: type[Tool] | Tool, call_input: str) -> dict[str, Any]:
    """The arguments of a call by name. Raises BadInput for an input that the tool's schema refuses."""
    if tool.schema is not None:
        return read_arguments(tool.schema, call_input)
    return {name: unquote(call_input) for name in tool.parameters}


def read_arguments(schema: Mapping[str, Any], call_input: str) -> dict[str, Any]:
    """The arguments that stand between the parentheses, checked. Raises BadInput, which names the argument."""
    names = list(schema["properties"])
    arguments = _read_one(names[0], schema, call_input) if len(names) == 1 else _read_all(names, call_input)
    _validate(schema, arguments)
    return arguments


def _read_all(names: list[str], call_input: str) -> dict[str, Any]:
    positional, named = parse_arguments(call_input)
    if len(positional) > len(names):
        raise BadInput(f"{len(positional)} arguments, and there are {len(names)}")
    by_place = dict(zip(names, positional, strict=False))
    if twice := next((name for name in by_place if name in named), None):
        raise BadInput("it is given twice", argument=twice)
    return {**by_place, **named}


def _read_one(name: str, schema: Mapping[str, Any], call_input: str) -> dict[str, Any]:
    """The one argument of a tool: with its name, as a value or, if it is a text, as it stands there."""
    if not call_input.strip():
        return {}
    is_text = _is_text(schema["properties"][name])
    try:
        read = parse_arguments(call_input)
    except BadInput as error:
        if not is_text:
            raise BadInput(str(error), argument=name) from error
        return {name: call_input.strip()}
    if is_text and not _is_one_text(read, name):
        return {name: call_input.strip()}
    return _read_all([name], call_input)


def _is_one_text(read: Arguments, name: str) -> bool:
    values = [*read.positional, *read.named.values()]
    return len(values) == 1 and isinstance(values[0], str) and set(read.named) <= {name}


def _is_text(parameter: Mapping[str, Any]) -> bool:
    values = parameter.get("enum", [])
    return parameter.get("type") == "string" or (
        "type" not in parameter and any(isinstance(one, str) for one in values)
    )


def _validate(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    error = next(_validator(json.dumps(schema)).iter_errors(arguments), None)
    if error is None:
        return
    argument = str(error.absolute_path[0]) if error.absolute_path else None
    if argument is None and error.validator == "required":
        argument = next(name for name in error.validator_value if name not in arguments)
    elif argument is None and error.validator == "additionalProperties":
        argument = next(name for name in arguments if name not in schema["properties"])
    raise BadInput(error.message[:200], argument=argument)


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> "Draft202012Validator":
    # Only tools with named arguments need it, and it takes a tenth of a second to import.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))
