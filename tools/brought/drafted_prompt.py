"""Instruction and demonstrations of a tool that has none, made from its schema and, if there are any, its examples.

They show how a call is written and little more. Demonstrations from hand or of `--TOOL.demonstrations` teach better.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from toolformer_ray.records.calls import clean_result, render_call
from toolformer_ray.tools.arguments import render_arguments, render_value
from toolformer_ray.tools.named import schema_of
from toolformer_ray.tools.tool import Tool

MAX_DEMONSTRATIONS = 5
_WORDS = ("first", "second")
_NUMBERS = (12, 3.5)


def fill_prompt(tool: type[Tool]) -> None:
    """Give a tool class the instruction and the demonstrations that it lacks."""
    if getattr(tool, "instruction", None) and getattr(tool, "demonstrations", None) and not tool.has_drafted_prompt:
        return
    calls = [render_call(tool.name, call_input).strip() for call_input, _ in tool.examples] or _made_up_calls(tool)
    answers = [clean_result(answer) for _, answer in tool.examples] or ["what it answers"] * len(calls)
    shown = calls[:MAX_DEMONSTRATIONS]
    tool.has_drafted_prompt = True
    tool.instruction = (
        f"Add calls of {tool.name} to the text where its answer helps to write what comes next. {tool.description} "
        f'Write a call as "{calls[0]}". Here are some examples:'
    )
    tool.demonstrations = tuple(f"Then it is {call} {answer}." for call, answer in zip(shown, answers, strict=False))


def example_input(schema: Mapping[str, Any], number: int = 0) -> str:
    """What could stand between the parentheses of a call; another `number`, other values."""
    names = schema["required"] or list(schema["properties"])
    values = {name: _example(schema["properties"][name], name, number) for name in names}
    # A tool of one text is given it without its name.
    if len(schema["properties"]) == 1 and all(isinstance(value, str) for value in values.values()):
        return "".join(map(render_value, values.values()))
    return render_arguments(values)


def _made_up_calls(tool: type[Tool]) -> Sequence[str]:
    schema = schema_of(tool)
    inputs = [example_input(schema, number) for number in range(2)]
    return [render_call(tool.name, call_input).strip() for call_input in inputs]


def _example(part: Mapping[str, Any], name: str, number: int) -> Any:
    """A value that a part of a schema allows, as far as that is simple."""
    if "const" in part:
        return part["const"]
    if values := part.get("enum"):
        return values[number % len(values)]
    if "default" in part and number == 0 and part["default"] is not None:
        return part["default"]
    if alternatives := part.get("anyOf") or part.get("allOf"):
        return _example(alternatives[0], name, number)
    kind = part.get("type", "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind in ("number", "integer"):
        return _number(part, kind, number)
    if kind == "boolean":
        return number == 0
    if kind == "array":
        return [_example(part.get("items", {}), name, number)]
    if kind == "object":
        needed = part.get("required", [])
        return {key: _example(part.get("properties", {}).get(key, {}), key, number) for key in needed}
    return None if kind == "null" else f"{_WORDS[number % 2]} {name.replace('_', ' ')}"


def _number(part: Mapping[str, Any], kind: str, number: int) -> int | float:
    value: int | float = _NUMBERS[number % 2]
    least = part.get("minimum", part.get("exclusiveMinimum", value - 1) + 1)
    most = part.get("maximum", part.get("exclusiveMaximum", value + 1) - 1)
    value = min(max(value, least), most)
    return int(value) if kind == "integer" else value
