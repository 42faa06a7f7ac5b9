"""The options of tools on the command line: `--KEY.OPTION` for each tool, and one set of how tools are asked."""

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.options import Asking, Teaching
from toolformer_ray.tools.tool import Tool

AskingOverrides = dataclasses.make_dataclass(
    "AskingOverrides",
    [(field.name, field.type | None, None) for field in dataclasses.fields(Asking)],  # type: ignore[operator]
    namespace={"__module__": __name__},  # cyclopts does not look into classes of the standard library
    frozen=True,
    kw_only=True,
)
"""The fields of `Asking`, None where a tool is asked as all others are."""


def tool_parameters(*, is_taught: bool) -> Iterator[inspect.Parameter]:
    """The parameters of each tool that is found, so that adding a tool adds its options."""
    for key, tool in find_tools().items():
        group = f"Tool {key}: {tool.name}"
        shown = Parameter(name=key, group=group, negative=())
        if dataclasses.fields(tool.Options):
            yield _parameter(f"{key}_own", tool.Options, shown)
        if is_taught:
            yield _parameter(f"{key}_teaching", _teaching(tool), shown)
        yield _parameter(f"{key}_asking", AskingOverrides, Parameter(name=key, group=group, show=False))


def read_tool_options(given: Mapping[str, Any], asking: Asking, *, is_taught: bool) -> dict[str, Any]:
    """What the parameters were given, as the fields of an options record: by what they say, then by key of the tool."""
    found: dict[str, Any] = {"tool_options": {}, "asking": {}} | ({"teaching": {}} if is_taught else {})
    for key, tool in find_tools().items():
        found["tool_options"][key] = given.get(f"{key}_own", tool.Options())
        overrides = vars(given.get(f"{key}_asking", AskingOverrides()))
        found["asking"][key] = dataclasses.replace(
            asking, **{name: value for name, value in overrides.items() if value is not None}
        )
        if is_taught:
            found["teaching"][key] = given.get(f"{key}_teaching", tool.teaching)
    return found


def _teaching(tool: type[Tool]) -> Any:
    """`Teaching` with the tool's own values as defaults."""
    return dataclasses.make_dataclass(
        "Teaching",
        [(field.name, field.type, getattr(tool.teaching, field.name)) for field in dataclasses.fields(Teaching)],
        bases=(Teaching,),
        namespace={"__module__": __name__},
        frozen=True,
        kw_only=True,
    )


def _parameter(name: str, record: Any, shown: Parameter) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=record(), annotation=Annotated[record, shown]
    )
