"""What the model reads is in the format in which it will be asked."""

import itertools

from toolformer_ray.annotate.prompt import render_demonstrations
from toolformer_ray.miniature.pretrain import learning_rate
from toolformer_ray.miniature.pretraining_texts import StoryTeller
from toolformer_ray.records.calls import find_calls, remove_found_calls
from toolformer_ray.tools.catalog import find_tools


def test_a_sheet_begins_like_the_prompt_of_a_tool_and_goes_on_in_its_format() -> None:
    teller = StoryTeller(3)
    instructions = {tool.instruction for tool in find_tools().values()}
    heads = {render_demonstrations(tool) for tool in find_tools().values()}
    for _ in range(20):
        head, slot, copy, following = itertools.islice(teller.sheet(), 4)
        assert head in heads or head.removesuffix("\n\nInput: ") in instructions
        assert slot.endswith("\nOutput: ")
        assert remove_found_calls(copy) == slot.removesuffix("Output: ") + "\n"
        assert following == "Input: "


def test_the_calls_of_a_sheet_have_no_results() -> None:
    teller = StoryTeller(4)
    copies = [piece for _ in range(30) for piece in itertools.islice(teller.sheet(), 1, 12)]
    calls = [call for copy in copies for call in find_calls(copy)]
    assert len(calls) > 30
    assert all(call.result is None for call in calls)


def test_a_note_is_often_a_call_with_its_result_before_the_text() -> None:
    teller = StoryTeller(5)
    texts = [teller.text() for _ in range(400)]
    opened = [text for text in texts if text.startswith(" [")]
    # 0.9 of the stories have a due call, 0.6 of those a note, 0.65 of the notes are calls: about 0.35.
    assert 100 < len(opened) < 180
    assert all(find_calls(text)[0].result is not None for text in opened)


def test_the_learning_rate_rises_stays_and_falls_to_zero() -> None:
    # 1,000 steps: 100 of warm-up, constant until 800, then one two-hundredth less each step.
    assert [learning_rate(step, 1000, 2.0) for step in (0, 49, 99, 500, 800, 900)] == [0.02, 1.0, 2.0, 2.0, 2.0, 1.0]
    assert learning_rate(999, 1000, 2.0) == 0.01
