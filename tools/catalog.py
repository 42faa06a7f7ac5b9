"""Finds the tools: every module of this package that defines a subclass of `Tool` is one.

A folder that is added to the package's `__path__` is searched too.
"""

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType

from toolformer_ray import tools
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.demonstrations import read_demonstrations
from toolformer_ray.tools.options import Asking, Teaching, ToolOptions
from toolformer_ray.tools.tool import Tool


@functools.cache
def find_tools() -> Mapping[str, type[Tool]]:
    """Every tool class by its key, the stem of its file, in alphabetical order.

    Raises TypeError for a file that defines two, UnusableError for two files whose tools have one name in calls.
    """
    found: dict[str, type[Tool]] = {}
    for info in sorted(pkgutil.iter_modules(tools.__path__), key=lambda info: info.name):
        if info.ispkg:
            continue
        module = importlib.import_module(f"{tools.__name__}.{info.name}")
        own = [value for value in vars(module).values() if _is_tool_of(value, module.__name__)]
        if len(own) > 1:
            raise TypeError(f"tools/{info.name}.py defines {len(own)} tools; a file holds one")
        if own:
            found[info.name] = own[0]
    refuse_shared_names(found)
    return MappingProxyType(found)


def refuse_shared_names(found: Mapping[str, type[Tool]], places: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise UnusableError if two tools have one name: whose call it is nobody could tell.

    `places` says by key where the tools are that are not of this package.
    """
    by_name: dict[str, str] = {}
    for key, tool in found.items():
        other = by_name.setdefault(tool.name, key)
        if other != key:
            both = " and ".join(places.get(one, f"tools/{one}.py") for one in (other, key))
            raise UnusableError(f"{both} are both called {tool.name!r} in texts; give one another name")


def make_tool(
    tool_class: type[Tool],
    options: ToolOptions | None = None,
    teaching: Teaching | None = None,
    asking: Asking | None = None,
) -> Tool:
    """A tool, not yet opened; its class has the defaults of what is not given.

    Raises ValueError if the tool lacks an option that it cannot do without.
    """
    tool = tool_class(options or tool_class.Options())
    tool.teaching, tool.asking = teaching or tool.teaching, asking or tool.asking
    if tool.teaching.demonstrations is not None:
        instruction, tool.demonstrations = read_demonstrations(tool.teaching.demonstrations, tool.name)
        tool.instruction = instruction or tool.instruction
    return tool


def _is_tool_of(value: object, module_name: str) -> bool:
    is_tool = isinstance(value, type) and issubclass(value, Tool) and not inspect.isabstract(value)
    return is_tool and value.__module__ == module_name
