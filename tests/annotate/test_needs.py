"""A function that is written once and called later: from proposals to C*, on a model whose probabilities are known."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.support.in_paper import proposing_as_in_paper
from tests.support.rows import make_row
from tests.support.scripted_model import BOS, ScriptedModel, suffixes
from tests.support.small_world import make_document
from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.needs import with_needs
from toolformer_ray.annotate.propose import propose
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.filter.score import score
from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.stages import Candidate, Scored
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.options import Teaching
from toolformer_ray.tools.python import Python
from toolformer_ray.tools.tool import Tool

FARE, LATER = "fare = lambda n: n * 4 + 2; fare(3)", "fare(5)"
TEXT = "A ride costs 14 dollars, a long one costs 22 dollars."
FIRST, SECOND = TEXT.index(" 14"), TEXT.index(" 22")


def model_that_gains(*, by_the_first: bool = True) -> ScriptedModel:
    behind = {f"{BOS} [Python({LATER}) -> 22]{TEXT[:SECOND]}": {" 22": 0.9}}
    if by_the_first:
        behind[f"{BOS} [Python({FARE}) -> 14]{TEXT[:FIRST]}"] = {" 14": 0.9}
    return ScriptedModel(
        suffixes(
            {
                "Output: A ride costs": {" [": 0.5},
                "Output: A ride costs [": {f"Python({FARE})": 1.0},
                "a long one costs": {" [": 0.5},
                "a long one costs [": {f"Python({LATER})": 1.0},
                ")": {"]": 1.0},
            }
            | behind
        )
    )


@pytest.fixture(scope="module")
def tools() -> dict[str, Tool]:
    tool = Python()
    tool.teaching = Teaching(min_open_probability=0.05, max_places=2, num_samples=2, min_loss_reduction=0.5)
    tool.open()
    return {tool.name: tool}


def scored_by(model: ScriptedModel, tools: dict[str, Tool]) -> list[Scored]:
    documents = [make_document(TEXT)]
    candidates, _ = propose(documents, model, tools, proposing_as_in_paper())
    executed = execute(with_needs(candidates, tools), documents, ToolExecutor(tools))
    return score(executed, documents, model, tools)


def test_a_call_sees_what_an_earlier_one_of_its_text_defined_and_both_stand_in_c_star(tools: dict[str, Tool]) -> None:
    scored = scored_by(model_that_gains(), tools)
    assert [(row.call_input, row.result, row.needs, row.is_kept) for row in scored] == [
        (FARE, "14", (), True),
        (LATER, "22", (FARE,), True),
    ]
    ((row,), drops) = interleave(scored, [make_document(TEXT)])
    assert row.text == (
        f"A ride costs [Python({FARE}) -> 14] 14 dollars, a long one costs [Python({LATER}) -> 22] 22 dollars."
    )
    assert remove_calls(row.text, row.calls) == TEXT and drops == []


def test_a_call_whose_definition_is_not_kept_is_not_kept_and_says_why(tools: dict[str, Tool]) -> None:
    scored = scored_by(model_that_gains(by_the_first=False), tools)
    assert [row.is_kept for row in scored] == [False, True]
    rows, (drop,) = interleave(scored, [make_document(TEXT)])
    assert rows == []
    assert (drop.reason, drop.char_offset, drop.detail) == ("definition_not_kept", SECOND, f" [Python({LATER}) -> 22]")


def candidate(call_input: str, char_offset: int, num_samples: int = 1, text_id: str = "t-0") -> Candidate:
    return make_row(
        Candidate,
        tool="Python",
        call_input=call_input,
        char_offset=char_offset,
        num_samples=num_samples,
        text_id=text_id,
    )


def needs(calls: Sequence[Candidate], tools: dict[str, Tool]) -> dict[tuple[str, str, int], tuple[str, ...]]:
    return {(row.text_id, row.call_input, row.char_offset): row.needs for row in with_needs(calls, tools)}


def test_of_several_that_define_a_name_the_nearest_then_the_one_sampled_most_then_the_first_by_the_alphabet_counts(
    tools: dict[str, Tool],
) -> None:
    one, two, three = (f"f = lambda n: n * {number}; f(1)" for number in (1, 2, 3))
    at_one_place = [candidate(one, 3), candidate(two, 3), candidate(three, 3)]
    user = candidate("f(9)", 9)
    assert needs([*at_one_place, user], tools)["t-0", "f(9)", 9] == (one,)
    assert needs([*at_one_place, user, candidate(three, 5)], tools)["t-0", "f(9)", 9] == (three,)
    assert needs([*at_one_place[:2], candidate(three, 3, num_samples=2), user], tools)["t-0", "f(9)", 9] == (three,)


def test_what_stands_later_at_the_same_place_or_in_another_text_defines_nothing(tools: dict[str, Tool]) -> None:
    user = candidate("f(9)", 9)
    define = candidate("f = lambda n: n; f(1)", 9)
    others = [define, replace(define, char_offset=12), replace(define, char_offset=3, text_id="u-0")]
    assert needs([user, *others], tools)["t-0", "f(9)", 9] == ()


def test_needs_depend_neither_on_the_order_nor_on_the_other_texts(tools: dict[str, Tool]) -> None:
    inputs = [*(f"f = lambda n: n * {n}; f(1)" for n in range(4)), "f(2)", "g = lambda n: f(n); g(1)", "g(3)"]
    chance = random.Random(0)
    calls = [
        candidate(chance.choice(inputs), place, chance.randint(1, 3), text_id)
        for text_id in ("a-0", "b-0")
        for place in range(12)
    ]
    expected = needs(calls, tools)
    assert any(expected.values())
    for _ in range(5):
        chance.shuffle(calls)
        assert needs(calls, tools) == expected
    alone = needs([call for call in calls if call.text_id == "a-0"], tools)
    assert alone == {key: value for key, value in expected.items() if key[0] == "a-0"}
