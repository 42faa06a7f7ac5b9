"""The prompt P(x) that teaches a tool (paper, section 2 and appendix A.2): instruction, demonstrations, the text.

    <instruction>

    Input: <text of a demonstration>
    Output: <the same with calls, no results>

    Input: <x>
    Output: <x, as far as it is written>

The part before x is the same for every text of a tool, so its key-value cache is computed once. Unless the whole text
is shown first, as here and in the paper, the demonstrations are outputs only, and x stands once, as far as it is
written.
"""

from dataclasses import dataclass

from toolformer_ray.annotate.propose_options import ProposeOptions, Shown
from toolformer_ray.lm.requests import Message
from toolformer_ray.records.calls import CALL_ARROW, CALL_END, find_calls, remove_found_calls
from toolformer_ray.tools.tool import Tool

CHAT_REQUEST = "Write a text with such a call."


@dataclass(frozen=True)
class CallOpening:
    """What a call begins with behind the start marker, written for the model instead of being sampled."""

    text: str
    """Such as `Calculator(`."""
    is_whole_call: bool = False
    """Whether nothing is left to be sampled, since the tool takes no input; the text then holds what ends the call."""


NO_OPENING = CallOpening("")
"""The model writes all of a call itself, as in the paper."""


def render_opening(tool: type[Tool] | Tool, options: ProposeOptions) -> CallOpening:
    """The name and, where all of the tool's demonstrations quote their inputs, a quotation mark.

    In one piece with what a demonstration has behind it, since `("` and `()]` may each be one token.
    """
    inputs = [call.call_input for text in tool.demonstrations for call in find_calls(text)]
    if inputs and not any(inputs):
        end = CALL_ARROW.rstrip() if options.second_round else CALL_END
        return CallOpening(f"{tool.name}(){end}", is_whole_call=True)
    quote = '"' if inputs and all(call_input.startswith('"') for call_input in inputs) else ""
    return CallOpening(f"{tool.name}({quote}")


def render_demonstrations(tool: type[Tool] | Tool, shown: Shown = "whole") -> str:
    """Everything before x: the instruction and the demonstrations, ending with `Input: ` if the whole text is shown."""
    if shown == "output":
        return "\n\n".join([tool.instruction, *tool.demonstrations, ""])
    examples = [f"Input: {remove_found_calls(output)}\nOutput: {output}" for output in tool.demonstrations]
    return "\n\n".join([tool.instruction, *examples, "Input: "])


def chat_demonstrations(tool: type[Tool] | Tool) -> list[Message]:
    """The same as a chat: each demonstration is an answer, and x, as far as it is written, begins the next one."""
    asked = [f"{tool.instruction}\n\n{CHAT_REQUEST}", *[CHAT_REQUEST] * len(tool.demonstrations)]
    turns = [Message(role="user", content=request) for request in asked]
    answers = [Message(role="assistant", content=demonstration) for demonstration in tool.demonstrations]
    paired = [turn for pair in zip(turns, answers, strict=False) for turn in pair]
    return [*paired, turns[-1]]


def render_text_slot(text: str) -> str:
    """What stands between the demonstrations and the model's own copy of x: x itself and the opening of the copy."""
    return f"{text}\nOutput: "
