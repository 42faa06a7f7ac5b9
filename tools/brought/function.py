"""A function as a tool: `@tool` reads its type hints and its docstring.

    from toolformer_ray import tool

    @tool
    def convert(amount: float, unit: Literal["km", "mi"]) -> str:
        "Converts an amount of kilometres into miles, or of miles into kilometres."
        return f"{amount / 1.609:.1f} mi" if unit == "km" else f"{amount * 1.609:.1f} km"

The hints give the JSON schema of the arguments, the docstring the description and what each argument is. The function
raises `BadInput` for what it refuses and `Unavailable` if it cannot reach what it asks; None is no answer.
"""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

import docstring_parser
import pydantic

from toolformer_ray.records.errors import UnusableError, explain, one_line
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.arguments import render_arguments
from toolformer_ray.tools.brought.drafted_prompt import fill_prompt
from toolformer_ray.tools.named import NamedArgumentsTool
from toolformer_ray.tools.schema_check import check_name, check_schema, clean_description
from toolformer_ray.tools.tool import BadInput, CallContext, Tool

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
MARK = "__toolformer_tool__"
"""The attribute of a decorated function that holds its tool."""
Input = str | Mapping[str, Any]


class FunctionTool(NamedArgumentsTool):
    """What the tools that `@tool` makes have in common."""

    _function: Callable[..., Any]
    _read: Callable[..., dict[str, Any]]
    """Gives the arguments with the types of the hints, defaults included."""
    _wants: Callable[[Document], bool] | None = None
    _wanted_places: Callable[[str], Iterable[int]] | None = None

    def wants(self, document: Document) -> bool:
        """Every text, unless the decorator was told which."""
        return self._wants is None or bool(self._wants(document))

    def wanted_places(self, text: str) -> Iterable[int]:
        """Before new words and numbers, unless the decorator was told where."""
        return super().wanted_places(text) if self._wanted_places is None else self._wanted_places(text)

    def call(self, arguments: Mapping[str, Any], context: CallContext) -> str:
        """What the function returns, as text."""
        try:
            read = self._read(**arguments)
        except pydantic.ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            where = str(fault["loc"][0]) if fault["loc"] else None
            raise BadInput(one_line(fault["msg"]), argument=where) from error
        return as_text(self._function(**read))


@overload
def tool(function: FunctionT) -> FunctionT: ...
@overload
def tool(**told: Any) -> Callable[[FunctionT], FunctionT]: ...
def tool(function: FunctionT | None = None, **told: Any) -> FunctionT | Callable[[FunctionT], FunctionT]:
    """Make a tool of a function, which stays as it is. What may be told: see `make_tool_class`."""

    def mark(function: FunctionT) -> FunctionT:
        setattr(function, MARK, make_tool_class(function, **told))
        return function

    return mark if function is None else mark(function)


def make_tool_class(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    examples: Sequence[tuple[Input, str]] = (),
    instruction: str | None = None,
    demonstrations: Sequence[str] = (),
    wants: Callable[[Document], bool] | None = None,
    wanted_places: Callable[[str], Iterable[int]] | None = None,
    version: int = 1,
    is_expensive: bool = False,
    one_at_a_time: bool = False,
) -> type[Tool]:
    """The tool of a function. By default its name in calls is `Convert` for `def convert`.

    `examples` are inputs, as text or as arguments by name, with their answers: demonstrations are made of them, and
    `toolformer check-tool` asks them. The other arguments are the attributes of `Tool`.
    Raises UnusableError, one line, for a function that cannot be a tool.
    """
    shown = f"the function {getattr(function, '__name__', function)}"
    _refuse_odd(function, shown)
    documented = docstring_parser.parse(inspect.getdoc(function) or "")
    made: type[Tool] = type(
        function.__name__,
        (FunctionTool,),
        {
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "name": check_name(name or "".join(part.capitalize() for part in function.__name__.split("_")), shown),
            "description": clean_description(description or _description(documented)),
            "schema": _schema(function, documented, shown),
            "examples": tuple((as_input(call_input), answer) for call_input, answer in examples),
            "version": version,
            "is_expensive": is_expensive,
            "one_at_a_time": one_at_a_time,
            **({"instruction": instruction} if instruction else {}),
            **({"demonstrations": tuple(demonstrations)} if demonstrations else {}),
            "_function": staticmethod(function),
            "_read": staticmethod(_reader(function)),
            "_wants": wants and staticmethod(wants),
            "_wanted_places": wanted_places and staticmethod(wanted_places),
        },
    )
    if not made.description:
        raise UnusableError(f"{shown} has no docstring; say in a sentence what it does")
    fill_prompt(made)
    return made


def as_text(answer: Any) -> str:
    """What a function returned, as the text of an answer."""
    if answer is None or isinstance(answer, str):
        return answer or ""
    if isinstance(answer, bool | int | float | list | tuple | dict):
        return json.dumps(answer, ensure_ascii=False, default=str)
    return str(answer)


def as_input(call_input: Input) -> str:
    """The text between the parentheses, of that text or of arguments by name."""
    return call_input if isinstance(call_input, str) else render_arguments(call_input)


def _refuse_odd(function: Callable[..., Any], shown: str) -> None:
    if not inspect.isfunction(function):
        raise UnusableError(f"{shown} is no function: @tool stands above a def")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UnusableError(f"{shown} is async or a generator; a tool returns its answer")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise UnusableError(f"{shown} takes *{parameter.name}; arguments of a call have names")
        if parameter.annotation is parameter.empty:
            raise UnusableError(f"{shown} does not say what {parameter.name} is; give it a type hint such as float")


def _schema(function: Callable[..., Any], documented: docstring_parser.Docstring, shown: str) -> dict[str, Any]:
    try:
        schema = pydantic.TypeAdapter[Any](function).json_schema()  # type: ignore[arg-type]
    except (pydantic.errors.PydanticUserError, NameError) as error:
        raise UnusableError(f"{shown} has a type hint that JSON does not have: {explain(error)}") from error
    described = {one.arg_name: one.description for one in documented.params}
    properties = {name: {"description": described.get(name), **part} for name, part in schema["properties"].items()}
    return check_schema({**schema, "properties": properties}, shown)


def _description(documented: docstring_parser.Docstring) -> str:
    return one_line(" ".join(filter(None, (documented.short_description, documented.long_description))))


def _reader(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Checks arguments by the hints of a function without calling it."""

    @functools.wraps(function)
    def read(**arguments: Any) -> dict[str, Any]:
        return arguments

    return pydantic.validate_call(read)
