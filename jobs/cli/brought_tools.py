"""The user's own tools that a command names: their options become options of the command before it is read.

What names them is typed, in the file of `--config`, or in `annotate(tools=...)`. What a run names is not loaded: a
file is never run because a run folder says so.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def named_tools(arguments: Sequence[str]) -> list[str]:
    """What stands behind `--tools` or, of `teach`, before the options.

    >>> named_tools(["annotate", "--tools", "calculator,./units.py", "--seed", "1"])
    ['calculator', './units.py']
    >>> named_tools(["teach", "./units.py", "--seed", "1"])
    ['./units.py']
    """
    taught = [word for word in arguments[1:2] if arguments[0] == "teach" and not word.startswith("-")]
    return _split([*taught, *_behind("--tools", arguments)])


def named_servers(arguments: Sequence[str]) -> str | None:
    """The file that stands behind `--tool-servers`, if any."""
    return next(iter(_behind("--tool-servers", arguments)), None)


def offer_tools(
    named: Iterable[str], settings: Iterable[Mapping[str, Any]], servers: str | None = None
) -> Mapping[str, str]:
    """Make the options of the named tools known, and those of tools in settings files.

    `servers` is the file that tells of servers, if it is typed; else the settings may name one.
    Returns the keys of the user's own by what names them. Raises ValueError, one line, for a place that holds no tool.
    """
    settings = list(settings)
    all_named = [*named, *(name for values in settings for name in _named_in(values))]
    if not all_named:
        return {}
    # Only commands that name tools pay for importing them.
    from toolformer_ray.tools.catalog import find_tools

    places = [name for name in dict.fromkeys(all_named) if name not in find_tools()]
    if not places:
        return {}
    from toolformer_ray.tools.brought.from_server import with_file
    from toolformer_ray.tools.brought.places import resolve_tools
    from toolformer_ray.workflow.tool_choice import offer_options_of

    said = [values[name] for values in settings for name in ("tool_servers", "tool-servers") if name in values]
    file = servers or next((one for one in said if isinstance(one, str)), None)
    brought = {place: resolve_tools(with_file([place], file))[1] for place in places}
    offer_options_of({key: one.load() for found in brought.values() for key, one in found.items()})
    return {key: place for place, found in brought.items() for key in found}


def _behind(flag: str, arguments: Sequence[str]) -> list[str]:
    joined = [word.partition("=")[2] for word in arguments if word.startswith(f"{flag}=")]
    return [*joined, *(word for before, word in itertools.pairwise(arguments) if before == flag)]


def _named_in(values: Mapping[str, Any]) -> list[str]:
    said = values.get("tools", ())
    return _split([said] if isinstance(said, str) else [name for name in said if isinstance(name, str)])


def _split(written: Iterable[str]) -> list[str]:
    return [name.strip() for names in written for name in names.split(",") if name.strip()]
