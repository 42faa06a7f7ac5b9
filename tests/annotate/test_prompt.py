import pytest

from tests.support.small_world import Adder
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.records.calls import find_calls
from toolformer_ray.tools.catalog import find_tools


@pytest.mark.paper("C2")
def test_the_prompt_is_the_instruction_the_demonstrations_and_the_text_twice() -> None:
    text = "Two and two is 4."
    assert render_demonstrations(Adder) + render_text_slot(text) + text == (
        "Add calls.\n\n"
        "Input: One and two are 3.\nOutput: One and two are [Add(1+2)] 3.\n\n"
        "Input: Two and two is 4.\nOutput: Two and two is 4."
    )


@pytest.mark.parametrize("key", sorted(find_tools()))
def test_every_tool_is_taught_by_calls_without_results_that_the_inputs_lack(key: str) -> None:
    tool = find_tools()[key]
    prompt = render_demonstrations(tool)
    taught = [call for demonstration in tool.demonstrations for call in find_calls(demonstration)]
    assert len(taught) >= len(tool.demonstrations) >= 2
    assert all(call.tool == tool.name and call.result is None for call in taught)
    inputs = [line for line in prompt.split("\n") if line.startswith("Input: ")]
    assert not any(find_calls(line) for line in inputs)
    assert prompt.startswith(tool.instruction) and prompt.endswith("\n\nInput: ")
