"""From what stands behind `--tools` to tools.

    calculator                  a tool of this package
    ./units.py                  all tools of a file; its key is `units` if there is one, else each is called as it is
    ./units.py:convert          one of them
    package.module:Units        a class or a decorated function of an installed module
    units                       an entry point of the group `toolformer_ray.tools`
    mcp:units, http:weather     what a file of servers tells of (`tools.brought.from_server`)
    python:functions.toml       functions that a model wrote (`tools.brought.from_functions`)

A further kind of place, `SCHEME:NAME`, is an entry of SCHEMES.
"""

import functools
import importlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType

from toolformer_ray.records.errors import OptionError, UnusableError, explain
from toolformer_ray.tools.brought.brought_tool import Brought
from toolformer_ray.tools.brought.declaration_faults import declaration_fault
from toolformer_ray.tools.brought.drafted_prompt import fill_prompt
from toolformer_ray.tools.brought.from_functions import SCHEME, resolve_functions
from toolformer_ray.tools.brought.from_server import resolve_http, resolve_mcp
from toolformer_ray.tools.brought.function import MARK, as_input
from toolformer_ray.tools.brought.source_file import SourceFile, read_source, source_hash
from toolformer_ray.tools.catalog import find_tools, refuse_shared_names
from toolformer_ray.tools.schema_check import check_schema
from toolformer_ray.tools.tool import Tool

GROUP = "toolformer_ray.tools"
"""The entry points by which an installed package offers tools."""
EXAMPLES = "EXAMPLES"
"""Inputs with answers, of the one tool of a file."""
_FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>\w+))?")
_MODULE = re.compile(r"(?P<module>\w+(?:\.\w+)*):(?P<name>\w+)")


@dataclass(frozen=True, kw_only=True)
class FromFile(Brought):
    """A tool of a file, which travels as text."""

    source: SourceFile
    name: str
    """Of the class or function in it."""

    def load(self) -> type[Tool]:
        """The tool, from the file's text."""
        return _finished(self.source.load(), self.name, self.source.hash, self.place)


@dataclass(frozen=True, kw_only=True)
class FromModule(Brought):
    """A tool of a module, which every machine has to have."""

    module: str
    name: str

    def load(self) -> type[Tool]:
        """The tool, from the module of that name."""
        module = _import(self.module, self.place)
        return _finished(module, self.name, source_hash(_source_of(module)), self.place)


Resolve = Callable[[str, str], Sequence[Brought]]
"""From a whole place, and what stands behind its colon, to tools."""
SCHEMES: Mapping[str, Resolve] = MappingProxyType({"mcp": resolve_mcp, "http": resolve_http, SCHEME: resolve_functions})
"""By what stands before the colon."""


def resolve_tools(written: Sequence[str]) -> tuple[tuple[str, ...], dict[str, Brought]]:
    """The keys of the tools that are named, in their order, and those among them that users bring.

    Raises OptionError for what names no tool, and UnusableError for two tools of one key or of one name in calls.
    """
    keys: dict[str, str] = {}
    brought: dict[str, Brought] = {}
    for place in dict.fromkeys(written):
        found = [] if place in find_tools() else resolve_place(place)
        for key in [one.key for one in found] or [place]:
            if keys.setdefault(key, place) != place:
                raise UnusableError(f"{keys[key]} and {place} are both the tool {key}; rename one of them")
        brought |= {one.key: one for one in found}
    chosen = {key: brought[key].load() if key in brought else find_tools()[key] for key in keys}
    refuse_shared_names(chosen, {key: keys[key] for key in brought})
    return tuple(keys), brought


def is_place(written: str) -> bool:
    """Whether that names a user's tool, as far as its form tells."""
    return bool(_FILE.fullmatch(written) or ":" in written)


def resolve_place(place: str) -> Sequence[Brought]:
    """The tools of one place, at least one. Raises OptionError or UnusableError, one line that names the place."""
    scheme, _, rest = place.partition(":")
    if scheme in SCHEMES:
        found = SCHEMES[scheme](place, rest)
    elif parts := _FILE.fullmatch(place):
        found = _of_file(place, parts["path"], parts["name"])
    elif parts := _MODULE.fullmatch(place):
        found = [FromModule(key=_snake_case(parts["name"]), place=place, module=parts["module"], name=parts["name"])]
    else:
        found = [_of_entry_point(place)]
    for one in found:
        if one.key in find_tools():
            raise UnusableError(f"{place}: there is a tool {one.key} already; give this one another name")
        if fault := declaration_fault(one.load()):
            raise UnusableError(f"{place}: {fault}")
    return found


def place_of(value: object) -> str:
    """The place of a tool that is given in Python as the class or the function itself. Raises OptionError."""
    name, module = getattr(value, "__name__", ""), getattr(value, "__module__", "")
    if not (hasattr(value, MARK) or inspect.isclass(value)):
        raise OptionError("tools", value, "give a name, a place, a subclass of Tool, or a function below @tool")
    if module == "__main__" or not module:
        raise OptionError("tools", name, "it is of the script or notebook that runs; put it into a file and give that")
    return f"{module}:{name}"


def _of_file(place: str, path: str, name: str | None) -> Sequence[Brought]:
    source = read_source(path)
    names = list(_tools_in(source.load()))
    if name is not None and name not in names:
        raise UnusableError(f"{path}: it defines no tool {name}" + (f", only {', '.join(names)}" if names else ""))
    if not names:
        raise UnusableError(f"{path}: it defines no tool: neither a function below @tool nor a subclass of Tool")
    if name is None and len(names) == 1:
        return [FromFile(key=_key_of_file(path), place=place, source=source, name=names[0])]
    chosen = names if name is None else [name]
    return [FromFile(key=_snake_case(one), place=f"{path}:{one}", source=source, name=one) for one in chosen]


def _of_entry_point(name: str) -> Brought:
    offered = importlib.metadata.entry_points(group=GROUP)
    if name not in offered.names:
        known = ", ".join([*find_tools(), *sorted(offered.names)])
        remedy = f"there is no such tool; choose among {known}, or give a file such as ./units.py"
        raise OptionError("tools", name, remedy)
    point = offered[name]
    return FromModule(key=name, place=name, module=point.module, name=point.attr)


def _finished(module: ModuleType, name: str, source: str, place: str) -> type[Tool]:
    """A tool of a module, with what its file says of it."""
    found = _tools_in(module, name)
    if not found:
        raise UnusableError(
            f"{place}: {module.__name__} has no tool {name}: no subclass of Tool, no function below @tool"
        )
    tool = found[name]
    tool.source = source
    if tool.schema is not None:
        tool.schema = check_schema(tool.schema, place)
    examples = getattr(module, EXAMPLES, ())
    if examples and not tool.examples and len(_tools_in(module)) == 1:
        tool.examples = tuple((as_input(call_input), str(answer)) for call_input, answer in examples)
    if getattr(tool, "name", None):
        fill_prompt(tool)
    return tool


def _tools_in(module: ModuleType, name: str | None = None) -> Mapping[str, type[Tool]]:
    """The tools that a module defines, or the one of that name, by the names of classes and functions."""
    values = vars(module).items() if name is None else [(name, getattr(module, name, None))]
    found: dict[str, type[Tool]] = {}
    for each, value in values:
        tool = _as_tool(value)
        is_own = name is not None or getattr(value, "__module__", None) == module.__name__
        if tool is not None and is_own and tool not in found.values():
            found[each] = tool
    return found


def _as_tool(value: object) -> type[Tool] | None:
    tool = getattr(value, MARK, value)
    is_tool = isinstance(tool, type) and issubclass(tool, Tool) and not inspect.isabstract(tool)
    return tool if is_tool else None  # type: ignore[return-value]


def _key_of_file(path: str) -> str:
    stem = re.sub(r"\W", "_", Path(path).stem, flags=re.ASCII)
    return stem if stem.isidentifier() else f"tool_{stem}"


def _snake_case(name: str) -> str:
    """As options are named: `UnitConverter` is `unit_converter`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@functools.cache
def _import(module: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise UnusableError(f"{place}: {module} cannot be imported ({explain(error)})") from error


def _source_of(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):
        return ""  # A module that was compiled has a version of its own at most.
