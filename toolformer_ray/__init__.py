"""A language model teaches itself to use tools, as a Ray job. Each package here is a link to the folder of its name."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolformer_ray.tools.brought.function import tool as tool


def __getattr__(name: str) -> Any:
    """`tool`, which makes a tool of a function; imported when it is asked for, so that the package stays light."""
    if name != "tool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from toolformer_ray.tools.brought.function import tool

    return tool
