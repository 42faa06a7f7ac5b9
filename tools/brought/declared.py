"""A user's tool as a run declares it: what readers of the run need, so that none of them needs the tool's file.

Written to `run.json` when the run is made. What is read from there is data: nothing of it is imported or run, and a
tool that is made of it refuses to be asked.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NoReturn

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.brought.drafted_prompt import fill_prompt
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.named import schema_of
from toolformer_ray.tools.schema_check import check_name, check_schema, clean_description
from toolformer_ray.tools.tool import CallContext, Tool

DECLARED = "declared_tools"
"""The entry of `run.json` that holds them, by key."""


class DeclaredTool(Tool):
    """A tool of which only the declaration is there."""

    def open(self) -> NoReturn:
        """Refuse."""
        raise UnusableError(f"the tool {self.name} is only declared by a run; give its place with `tools`")

    def wants(self, document: Document) -> NoReturn:
        """Refuse."""
        self.open()

    def run(self, call_input: str, context: CallContext) -> NoReturn:
        """Refuse."""
        self.open()


def declare(tool: Tool, place: str) -> dict[str, Any]:
    """What a run keeps of a user's tool."""
    return {
        "place": place,
        "source": tool.source,
        "name": tool.name,
        "description": tool.description,
        "has_named_arguments": tool.schema is not None,
        "schema": schema_of(tool),
        "strikes_future_inputs": tool.strikes_future_inputs,
        "locates_data": sorted(tool.locates_data),
    }


def tools_known_to(made_with: object) -> Mapping[str, type[Tool]]:
    """The tools of this package and those that a run declares, by key; `made_with` is the content of its run.json.

    A declaration that makes no sense is left out.
    """
    declared = made_with.get(DECLARED) if isinstance(made_with, dict) else None
    found = dict(find_tools())
    for key, told in declared.items() if isinstance(declared, dict) else ():
        if isinstance(told, dict) and key not in found and (tool := _declared(key, told)):
            found[key] = tool
    return found


def tools_of_runs(locations: Iterable[str]) -> Mapping[str, type[Tool]]:
    """The tools of this package and those that any of the runs declares, by key; of a key the first run's counts."""
    found: dict[str, type[Tool]] = {}
    for location in locations:
        found = {**tools_known_to(RunFolder(location).read_json(RUN_FILE)), **found}
    return found or find_tools()


def place_of_declared(made_with: Mapping[str, Any], key: str) -> str | None:
    """Where a run found a tool; None for a tool of this package."""
    told = made_with.get(DECLARED, {}).get(key)
    return str(told.get("place")) if isinstance(told, dict) and key not in find_tools() else None


def places_of_declared(runs: Iterable[str], names: Collection[str]) -> dict[str, str]:
    """Where runs found the tools of these names in calls that are not of this package, by name."""
    found: dict[str, str] = {}
    for run in runs:
        made_with = RunFolder(run).read_json(RUN_FILE)
        for key, tool in tools_known_to(made_with).items():
            if tool.name in names and (place := place_of_declared(made_with, key)):
                found.setdefault(tool.name, place)
    return found


def _declared(key: str, told: Mapping[str, Any]) -> type[Tool] | None:
    try:
        schema = check_schema(told.get("schema"), key)
        made = {
            "name": check_name(told.get("name"), key),
            "description": clean_description(told.get("description")) or f"The tool {key}.",
            "source": str(told.get("source", "")),
            "strikes_future_inputs": told.get("strikes_future_inputs") is True,
            "locates_data": frozenset(map(str, told.get("locates_data", ()))),
        }
    except UnusableError:
        return None
    if told.get("has_named_arguments"):
        made["schema"] = schema
    else:
        made["parameters"] = {name: part.get("description", "") for name, part in schema["properties"].items()}
    tool = type(check_name(told.get("name"), key), (DeclaredTool,), made)
    fill_prompt(tool)
    return tool
