"""The approximate screen: what passes, what is watched, what is left out."""

import math
from dataclasses import replace
from typing import get_args

import pytest

from tests.support.models import build_language_model
from tests.support.scripted_model import BOS, NoisyModel, ScriptedModel, suffixes
from tests.support.small_world import Adder, make_document, make_executed
from toolformer_ray.filter.score import score
from toolformer_ray.filter.screening.overlap import says, words_of
from toolformer_ray.filter.screening.screen import SWAY, ScreenOptions
from toolformer_ray.records.stages import Scored, Screening

DOCUMENT = make_document("2 and 3 is 5 apples")
TOOLS = {"adder": Adder()}
FIVE, SIX = " [Add(2+3) -> five]", " [Add(2+3) -> six]"

# Behind "five", wherever that stands, " 5" is likely; behind " 5", " apples" always is.
TRUSTING = suffixes(
    {
        f"{FIVE}2 and 3 is": {" 5": 0.9},
        f"3{FIVE} is": {" 5": 0.9},
        f"{FIVE}": {" 5": 0.9},
        " 5": {" apples": 0.9},
    }
)
UNLIKELY, LIKELY = math.log(1_000), math.log(1 / 0.9)
MUCH = 5 / 15 * UNLIKELY + 4 / 15 * LIKELY
"""L(epsilon) at the call: 2.33 nats. The threshold is 0.5."""
LITTLE = 9 / 15 * LIKELY
"""Where " 5" is likely."""
CALL = make_executed(DOCUMENT, len("2 and 3 is"), 4, call_input="2+3", loss_without=MUCH)

UNSURE = 0.5 - 0.9 * SWAY * MUCH
"""A margin at which a call whose result says nothing of what follows may still be worth a look."""


def screened(
    model: ScriptedModel, *results: str, margin: float = UNSURE, control: float = 0.0, distance: int = 1
) -> list[Scored]:
    options = ScreenOptions(screen_margin=margin, screen_control=control, screen_distance=distance)
    calls = [replace(CALL, result=result) for result in results]
    return score(calls, [DOCUMENT], model, TOOLS, screen_options=options)


def test_by_default_every_call_is_scored() -> None:
    model = ScriptedModel(TRUSTING)
    (row,) = score([replace(CALL, result="five")], [DOCUMENT], model, TOOLS)
    assert (row.loss_near, row.screening, row.is_kept) == (None, None, True)
    assert "inserted" not in model.asked


def test_a_result_that_says_what_follows_passes_without_a_look() -> None:
    model = ScriptedModel(TRUSTING)
    (row,) = screened(model, "5", margin=0.0)
    assert row.screening == "passed" and row.loss_near == pytest.approx(4 / 15 * LIKELY)
    assert model.sequences[0] == f"{BOS}2 and 3 is 5 apples" and not model.asked["inserted"]
    # It is then judged as ever, and did not help.
    assert row.loss_with_result == pytest.approx(MUCH) and not row.is_kept


def test_where_the_result_says_nothing_of_what_follows_a_short_reading_decides() -> None:
    model = ScriptedModel(TRUSTING)
    five, six = screened(model, "five", "six")
    assert model.sequences[1:3] == [f"{BOS}2 and 3{call} is 5 apples" for call in (FIVE, SIX)]
    assert [row.loss_near for row in (five, six)] == pytest.approx([LITTLE, MUCH])
    (exact,) = score([replace(CALL, result="five")], [DOCUMENT], ScriptedModel(TRUSTING), TOOLS)
    assert five == replace(exact, loss_near=five.loss_near, screening="passed")
    assert (six.loss_with_call, six.loss_with_result, six.loss_reduction) == (None, None, None)
    assert (six.screening, six.is_kept) == ("left_out", False)


def test_what_no_swaying_could_make_up_for_is_not_even_read() -> None:
    model = ScriptedModel(TRUSTING)
    (row,) = screened(model, "five", margin=0.5 - 1.1 * SWAY * MUCH)
    assert row.screening == "left_out" and row.loss_near == pytest.approx(MUCH)
    assert not model.asked["inserted"] and model.asked["scores"] == 1


def test_the_call_stands_so_many_tokens_before_its_place() -> None:
    for distance, sequence in [
        (0, f"{BOS}2 and 3 is{FIVE} 5 apples"),
        (1, f"{BOS}2 and 3{FIVE} is 5 apples"),
        (4, f"{BOS}{FIVE}2 and 3 is 5 apples"),
        (32, f"{BOS}{FIVE}2 and 3 is 5 apples"),
    ]:
        model = ScriptedModel(TRUSTING)
        (row,) = screened(model, "five", distance=distance)
        assert model.sequences[1] == sequence
        assert row.loss_near == pytest.approx(LITTLE)


def test_a_call_that_stood_before_the_whole_text_is_not_read_there_again() -> None:
    model = ScriptedModel(TRUSTING)
    (row,) = screened(model, "five", distance=4)
    assert row.loss_with_result == row.loss_near and row.is_kept
    # The text's own losses, and L(e(c, epsilon)).
    assert model.asked["scores"] == 2


def test_the_text_and_equal_calls_at_one_place_are_read_once_for_all_tokens() -> None:
    model = ScriptedModel(TRUSTING)
    losses = {1: 14 / 15 * UNLIKELY + 1 / 15 * LIKELY, 2: 12 / 15 * UNLIKELY + 2 / 15 * LIKELY, 4: MUCH}
    calls = [replace(CALL, result="six", token_index=place, loss_without=loss) for place, loss in losses.items()]
    options = ScreenOptions(screen_margin=UNSURE, screen_control=0.0, screen_distance=2)
    rows = score(calls, [DOCUMENT], model, TOOLS, screen_options=options)
    # The first two stand before the text, the third before " 3".
    assert model.sequences == [
        f"{BOS}2 and 3 is 5 apples",
        f"{BOS}{SIX}2 and 3 is 5 apples",
        f"{BOS}2 and{SIX} 3 is 5 apples",
    ]
    assert [row.loss_near for row in rows] == pytest.approx(list(losses.values()))


def test_the_control_slice_is_scored_although_it_did_not_pass() -> None:
    (row,) = screened(ScriptedModel(TRUSTING), "five", margin=-100.0, control=1.0)
    assert row.screening == "control" and row.is_kept and row.loss_with_result == pytest.approx(LITTLE)


def test_the_control_slice_is_a_share_drawn_by_the_call_alone() -> None:
    calls = [replace(CALL, call_input=f"{number}+1") for number in range(400)]
    options = ScreenOptions(screen_margin=-100.0, screen_control=0.25)
    rows = score(calls, [DOCUMENT], ScriptedModel(TRUSTING), TOOLS, screen_options=options)
    drawn = {row.call_input for row in rows if row.screening == "control"}
    # 100 expected, with a standard deviation of 8.7.
    assert 65 <= len(drawn) <= 135
    half = score(calls[:200], [DOCUMENT], ScriptedModel(TRUSTING), TOOLS, screen_options=options)
    assert {row.call_input for row in half if row.screening == "control"} == drawn & {c.call_input for c in calls[:200]}


def test_calls_without_an_answer_are_not_screened() -> None:
    call = replace(CALL, result=None, status="timeout")
    options = ScreenOptions(screen_margin=0.0)
    (row,) = score([call], [DOCUMENT], ScriptedModel(TRUSTING), TOOLS, screen_options=options)
    assert (row.loss_near, row.screening, row.is_kept) == (None, None, False)


@pytest.mark.parametrize("noise", [-5e-5, 0.0, 5e-5])
@pytest.mark.parametrize("beyond", [-1e-5, 1e-5])
@pytest.mark.parametrize(
    "result, promise",
    [("5", MUCH - 4 / 15 * LIKELY), ("five", SWAY * MUCH), ("six", 0.0)],
    ids=["words", "sway", "near"],
)
def test_what_is_close_to_the_margin_is_settled_alone(result: str, promise: float, beyond: float, noise: float) -> None:
    model = NoisyModel(TRUSTING, noise)
    # Passes, or is looked at, if the promise is at least 0.5 - margin.
    (row,) = screened(model, result, margin=0.5 - promise - beyond)
    is_reached = row.screening == "passed" if result != "five" else model.asked.get("inserted", 0) == 1
    assert is_reached is (beyond < 0)


@pytest.mark.parametrize("token_budget", [1, 4096])
def test_screenings_do_not_depend_on_the_batch(token_budget: int) -> None:
    documents = [make_document(f"The mill ground {n}00 sacks, 120 more than in May, and so on.") for n in range(4)]
    calls = [
        make_executed(document, place, place, call_input=call_input, result=result, loss_without=6.0)
        for document in documents
        for place in (3, 9, 15)
        for call_input, result in [("1+1", "2"), ("400-120", "280"), ("3+3", "6")]
    ]
    options = ScreenOptions(screen_margin=0.5, screen_distance=4, screen_control=0.2)
    together = score(calls, documents, build_language_model(), TOOLS, screen_options=options)
    alone = []
    for call in calls:
        model = build_language_model(token_budget=token_budget)
        alone += score([call], documents, model, TOOLS, screen_options=options)
    assert [(row.screening, row.is_kept) for row in alone] == [(row.screening, row.is_kept) for row in together]
    assert {row.screening for row in together} == set(get_args(Screening))


@pytest.mark.parametrize(
    "result, said",
    [
        ("It is PARIS, they say", True),
        ("Parisian", True),
        ("Parma", False),
        ("the comparison", False),
        ("", False),
    ],
)
def test_a_token_is_said_where_a_word_of_the_result_begins_like_its_own(result: str, said: bool) -> None:
    text = "He saw Paris"
    assert says(words_of(result), text, len("He saw"), len(text)) is said


@pytest.mark.parametrize(
    "text, result",
    [
        ("costs 1,085", "1085"),
        ("costs 1085", "1,085"),
        ("costs 0.29", "0.29"),
        ("is -5", "\u22125"),
        ("the dog\u2019s", "The dog's tail"),
        ("a cafe\u0301", "CAF\u00c9"),
        ("\u5728\u6771\u4eac", "\u6771\u4eac\u90fd"),
    ],
    ids=["separators", "no separators", "a decimal point", "a minus sign", "an apostrophe", "an accent", "no spaces"],
)
def test_what_is_only_spelled_otherwise_is_said_token_by_token(text: str, result: str) -> None:
    start = 1 if text.startswith("\u5728") else text.index(" ") + 1
    assert [says(words_of(result), text, place, place + 1) for place in range(start, len(text))] == [True] * (
        len(text) - start
    )


def test_of_a_number_the_digits_are_said_up_to_the_first_wrong_one() -> None:
    text = "that is 849 in all"
    digits = [says(words_of("It is 840"), text, place, place + 1) for place in (8, 9, 10)]
    assert digits == [True, True, False]
    assert not says(words_of("984"), text, 8, 9) and not says(words_of("0.8"), text, 8, 9)
    # A space alone is no word.
    assert not says(words_of("840"), text, 7, 8)


@pytest.mark.parametrize(
    "option, value",
    [("screen_margin", math.inf), ("screen_control", 1.5), ("screen_control", -0.1), ("screen_distance", -1)],
)
def test_an_option_out_of_range_names_itself_and_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}; it must be"):
        ScreenOptions(**{option: value})  # type: ignore[arg-type]


def test_the_screen_is_not_for_calls_in_their_place() -> None:
    with pytest.raises(ValueError, match="screen_margin is 1.0; .*leave it out with `second_round`"):
        ScreenOptions(screen_margin=1.0).check_round(is_second=True)
