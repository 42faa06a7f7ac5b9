"""What a tool's prompt says: before anything was drafted for it, and as a file that a person can edit."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolformer_ray.annotate.prompt import render_demonstrations
from toolformer_ray.annotate.propose_options import Shown
from toolformer_ray.records.calls import remove_found_calls
from toolformer_ray.records.errors import OptionError, explain, one_line
from toolformer_ray.tools.tool import Tool

_EXAMPLE = re.compile(r"(?:such as|for example|e\.g\.),? ([^;]+?)\.?$")
EXAMPLES_OF_OTHERS = 2
"""Demonstrations that are shown of each other tool; they show what a text with calls looks like."""


@dataclass(frozen=True, kw_only=True)
class TaughtPrompt:
    """What the model is told of one tool."""

    instruction: str
    demonstrations: Sequence[str]
    """Texts with their calls, without results."""


def is_taught_by_hand(tool: Tool) -> bool:
    """Whether somebody wrote the tool's demonstrations, or gave others in a file."""
    return not tool.has_drafted_prompt or tool.teaching.demonstrations is not None


def untaught_prompts(tool: Tool, others: Iterable[type[Tool]], shown: Shown) -> Iterator[TaughtPrompt]:
    """What the model is shown of a tool that has no demonstrations: at first what it does and how it is called.

    Then the same behind demonstrations of other tools, which show what a text with calls looks like. They come second,
    since a model may copy the form of their inputs, and since they are long.
    """
    # A tool that was made of a schema has an instruction which shows a call with its named arguments.
    own = f'{describe(tool)} Write a call as "[{tool.name}({example_input(tool)})]".'
    told = own if is_taught_by_hand(tool) else tool.instruction
    yield TaughtPrompt(instruction=told, demonstrations=())
    examples = [_examples_of(other, shown) for other in others]
    yield TaughtPrompt(instruction="\n\n".join([*examples, told]), demonstrations=())


def example_input(tool: Tool) -> str:
    """What the description of the one argument gives as an example, else the argument's name.

    >>> from toolformer_ray.tools.calculator import Calculator
    >>> example_input(Calculator())
    '18 * 24'
    """
    named = [_EXAMPLE.search(meaning) for meaning in tool.parameters.values()]
    return ", ".join(found[1] if found else name for found, name in zip(named, tool.parameters, strict=True))


def describe(tool: Tool) -> str:
    """The instruction without the form of a call, which the demonstrations show. It holds no call, so that in a file
    it is told from them."""
    meant = [f"{name}: {meaning}" for name, meaning in _meanings(tool).items() if meaning]
    told = f"Add calls to {tool.name} to the text. {tool.description} {' '.join(meant)}"
    return one_line(remove_found_calls(told))


def write_prompt(path: Path, prompt: TaughtPrompt) -> None:
    """Write the file that `--TOOL.demonstrations` reads: the instruction, then one demonstration a line.

    Raises OptionError if it cannot be written.
    """
    lines = [prompt.instruction, *prompt.demonstrations]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{one_line(line)}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise OptionError("out", path, f"it cannot be written: {explain(error)}") from error


def _examples_of(other: type[Tool], shown: Shown) -> str:
    few = type(other.__name__, (other,), {"demonstrations": tuple(other.demonstrations)[:EXAMPLES_OF_OTHERS]})
    return render_demonstrations(few, shown).removesuffix("Input: ").rstrip()


def _meanings(tool: Tool) -> dict[str, str]:
    """The tool's arguments, and what each is."""
    if tool.schema is None:
        return dict(tool.parameters)
    return {name: str(part.get("description") or "") for name, part in tool.schema["properties"].items()}
