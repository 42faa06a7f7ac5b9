"""What chat models are told of the tools: name, description and JSON schema; and a call's input by that schema."""

from collections.abc import Iterable, Mapping
from typing import Any

from toolformer_ray.records.run_folder import RUN_FILE, RunFolder
from toolformer_ray.tools.brought.declared import tools_known_to
from toolformer_ray.tools.named import arguments_of, schema_of
from toolformer_ray.tools.tool import BadInput, Tool

Tools = Mapping[str, type[Tool]]
"""By name in calls."""


def tools_of_run(runs: Iterable[str]) -> Tools:
    """All tools that the runs were annotated with, whether or not any call was kept, in the order of their names."""
    found: dict[str, type[Tool]] = {}
    for run in runs:
        made_with = RunFolder(run).read_json(RUN_FILE)
        known = tools_known_to(made_with)
        found |= {known[key].name: known[key] for key in made_with["settings"]["tools"] if key in known}
    return dict(sorted(found.items()))


def tool_schemas(tools: Tools) -> list[dict[str, Any]]:
    """The tools as a chat template takes them."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": tool.description or f"The tool {name}.",
                "parameters": dict(schema_of(tool)),
            },
        }
        for name, tool in tools.items()
    ]


def call_arguments(tools: Tools, tool: str, call_input: str) -> dict[str, Any]:
    """The arguments of a call by name; one input, without its quotes, is under the name of the tool's parameter.

    Of a tool that is not known, or whose arguments were others when the call was kept, what holds for any tool.
    """
    try:
        return arguments_of(tools.get(tool, Tool), call_input)
    except BadInput:
        return arguments_of(Tool, call_input)
