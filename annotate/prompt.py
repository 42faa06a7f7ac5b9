"""The prompt P(x) that teaches a tool (paper, section 2 and appendix A.2): instruction, demonstrations, the text.

    <instruction>

    Input: <text of a demonstration>
    Output: <the same with calls, no results>

    Input: <x>
    Output: <x, as far as it is written>

The part before x is the same for every text of a tool, so its key-value cache is computed once.
"""

from toolformer_ray.records.calls import remove_found_calls
from toolformer_ray.tools.tool import Tool


def render_demonstrations(tool: type[Tool] | Tool) -> str:
    """Everything before x: the instruction and the demonstrations, ending with `Input: `."""
    shown = [f"Input: {remove_found_calls(output)}\nOutput: {output}" for output in tool.demonstrations]
    return "\n\n".join([tool.instruction, *shown, "Input: "])


def render_text_slot(text: str) -> str:
    """What stands between the demonstrations and the model's own copy of x: x itself and the opening of the copy."""
    return f"{text}\nOutput: "
