"""What chat models are told of the tools: name, description and JSON schema; and a call's input by that schema."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolformer_ray.records.calls import unquote
from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.tool import Tool


def names_of_run_tools(runs: Iterable[str]) -> tuple[str, ...]:
    """Names in calls of all tools that the runs were annotated with, whether or not any call was kept."""
    found = find_tools()
    keys = {key for run in runs for key in RunFolder(run).read_json(RUN_FILE)["settings"]["tools"]}
    return tuple(sorted(found[key].name for key in keys if key in found))


def tool_schemas(names: Sequence[str]) -> list[dict[str, Any]]:
    """The tools as a chat template takes them."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": _tool(name).description or f"The tool {name}.",
                "parameters": _schema(_tool(name).parameters),
            },
        }
        for name in names
    ]


def call_arguments(tool: str, call_input: str) -> dict[str, str]:
    """The input of a call, without its quotes, under the name of the tool's parameter."""
    return {name: unquote(call_input) for name in _tool(tool).parameters}


def _schema(parameters: Mapping[str, str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": meaning} for name, meaning in parameters.items()}
    return {"type": "object", "properties": properties, "required": list(parameters)}


def _tool(name: str) -> type[Tool]:
    """The tool; of one that is no longer there, what holds for any."""
    return next((tool for tool in find_tools().values() if tool.name == name), Tool)
