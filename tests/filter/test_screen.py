"""The approximate screen: what passes, what is watched, what is left out."""

import math
from dataclasses import replace

import pytest

from filter.overlap import SWAY, says, words_of
from filter.score import ScoreOptions, score
from filter.screen import ScreenOptions
from lm.requests import ScoreRequest
from records.stages import SCREENINGS, Scored
from tests.models import build_language_model
from tests.scripted_model import BOS, ScriptedModel, suffixes
from tests.small_world import Adder, SmallOptions, make_document, make_executed

# For each estimate one that lets some calls pass.
MARGINS = {"near": 1.0, "overlap": -0.5}
DOCUMENT = make_document("2 and 3 is 5 apples")
TOOLS = {"adder": Adder(SmallOptions())}
CALL = make_executed(DOCUMENT, len("2 and 3 is"), 4, loss_without=4.0)
RIGHT, WRONG = " [Add(2+3) -> 5]", " [Add(2+3) -> 6]"

# " 5 apples" is likely behind the right answer, wherever that stands.
TRUSTING = suffixes(
    {
        f"{RIGHT}2 and 3 is": {" 5": 0.9},
        f"3{RIGHT} is": {" 5": 0.9},
        f"{RIGHT}": {" 5": 0.9},
        " 5": {" apples": 0.9},
    }
)
ALMOST_NOTHING = 9 / 15 * math.log(1 / 0.9)
# Behind the wrong answer " 5" has 1/1000, " apples" 0.9.
MUCH = 5 / 15 * math.log(1_000) + 4 / 15 * math.log(1 / 0.9)


def screened(model: ScriptedModel, *results: str, by: str = "near", **options: float) -> list[Scored]:
    calls = [replace(CALL, result=result, call_input=f"{2}+{3}") for result in results]
    return score(calls, [DOCUMENT], model, TOOLS, ScoreOptions(screen=ScreenOptions(screen_by=by, **options)))  # type: ignore[arg-type]


def test_by_default_every_call_is_scored() -> None:
    model = ScriptedModel(TRUSTING)
    (row,) = screened(model, "5")
    assert (row.loss_near, row.screening, row.is_kept) == (None, None, True)
    assert "inserted" not in model.asked


def test_the_call_stands_so_many_tokens_before_its_place() -> None:
    for distance, sequence in [
        (0, f"{BOS}2 and 3 is{RIGHT} 5 apples"),
        (1, f"{BOS}2 and 3{RIGHT} is 5 apples"),
        (4, f"{BOS}{RIGHT}2 and 3 is 5 apples"),
        (32, f"{BOS}{RIGHT}2 and 3 is 5 apples"),
    ]:
        model = ScriptedModel(TRUSTING)
        (row,) = screened(model, "5", screen_margin=0.0, screen_distance=distance)
        assert model.sequences[0] == sequence
        assert row.loss_near == pytest.approx(ALMOST_NOTHING)


def test_calls_that_pass_are_judged_as_ever_and_the_others_are_left_out() -> None:
    right, wrong = screened(
        ScriptedModel(TRUSTING), "5", "6", screen_margin=-2.0, screen_distance=1, screen_control=0.0
    )
    (exact,) = screened(ScriptedModel(TRUSTING), "5")
    assert right == replace(exact, loss_near=right.loss_near, screening="passed")
    # 4 - 2.33 is less than 0.5 + 2.
    assert wrong.loss_near == pytest.approx(MUCH)
    assert (wrong.loss_with_call, wrong.loss_with_result, wrong.loss_reduction) == (None, None, None)
    assert (wrong.screening, wrong.is_kept) == ("left_out", False)


def test_calls_left_out_cost_nothing_more_and_a_wider_margin_lets_them_in() -> None:
    model = ScriptedModel(TRUSTING)
    screened(model, "6", screen_margin=-2.0, screen_control=0.0, screen_distance=1)
    assert model.asked["scores"] == 0
    screened(model, "6", screen_margin=-1.0, screen_control=0.0, screen_distance=1)
    # L+ and L(e(c, epsilon)).
    assert model.asked["scores"] == 2


def test_a_call_that_stood_before_the_whole_text_is_not_read_there_again() -> None:
    model = ScriptedModel(TRUSTING)
    (row,) = screened(model, "5", screen_margin=0.0, screen_distance=4)
    assert row.loss_with_result == row.loss_near and row.is_kept
    # L(e(c, epsilon)) alone.
    assert model.asked["scores"] == 1


def test_equal_calls_that_stand_at_one_place_are_read_once_for_all_their_tokens() -> None:
    model = ScriptedModel(TRUSTING)
    calls = [replace(CALL, token_index=place) for place in (2, 3, 4)]
    options = ScoreOptions(
        screen=ScreenOptions(screen_by="near", screen_margin=-100.0, screen_control=0.0, screen_distance=3)
    )
    rows = score(calls, [DOCUMENT], model, TOOLS, options)
    # The first two stand before the text, the third after "2".
    assert model.sequences == [f"{BOS}{RIGHT}2 and 3 is 5 apples", f"{BOS}2{RIGHT} and 3 is 5 apples"]
    # " 5" and " apples" are known, the tokens before cost ln 1000 each.
    unlikely, likely = math.log(1_000), math.log(1 / 0.9)
    first = 5 / 15 * unlikely + 4 / 15 * unlikely + 3 / 15 * likely + 2 / 15 * likely
    assert [row.loss_near for row in rows[:2]] == pytest.approx([first, 5 / 15 * unlikely + 7 / 15 * likely])


def test_the_control_slice_is_scored_although_it_did_not_pass() -> None:
    (row,) = screened(ScriptedModel(TRUSTING), "5", screen_margin=-100.0, screen_control=1.0, screen_distance=1)
    assert row.screening == "control" and row.is_kept and row.loss_with_result == pytest.approx(ALMOST_NOTHING)


def test_the_control_slice_is_a_share_drawn_by_the_call_alone() -> None:
    calls = [replace(CALL, call_input=f"{number}+1") for number in range(400)]
    options = ScoreOptions(screen=ScreenOptions(screen_margin=-100.0, screen_control=0.25))
    rows = score(calls, [DOCUMENT], ScriptedModel(TRUSTING), TOOLS, options)
    drawn = {row.call_input for row in rows if row.screening == "control"}
    # 100 expected, with a standard deviation of 8.7.
    assert 65 <= len(drawn) <= 135
    half = score(calls[:200], [DOCUMENT], ScriptedModel(TRUSTING), TOOLS, options)
    assert {row.call_input for row in half if row.screening == "control"} == drawn & {c.call_input for c in calls[:200]}


def test_calls_without_an_answer_are_not_screened() -> None:
    call = replace(CALL, result=None, status="timeout")
    options = ScoreOptions(screen=ScreenOptions(screen_margin=0.0))
    (row,) = score([call], [DOCUMENT], ScriptedModel(TRUSTING), TOOLS, options)
    assert (row.loss_near, row.screening, row.is_kept) == (None, None, False)


class NoisyModel(ScriptedModel):
    """What is inserted is off in the last digits; answers to a single request are not."""

    noise = 0.0

    def log_probs_inserted(self, texts, insertions):  # type: ignore[no-untyped-def]
        return [answer + self.noise for answer in super().log_probs_inserted(texts, insertions)]


@pytest.mark.parametrize("noise", [-5e-5, 0.0, 5e-5])
@pytest.mark.parametrize("distance", [-1e-5, 1e-5])
def test_what_is_within_a_hair_of_the_margin_is_settled_alone(noise: float, distance: float) -> None:
    model = NoisyModel(TRUSTING)
    model.noise = noise
    request = ScoreRequest(ids=[0, *model.tokenizer.encode(DOCUMENT.text)], targets=[5, 6])
    loss_without = -sum(w * p for w, p in zip((5 / 15, 4 / 15), model.log_probs_alone(request), strict=True))
    # Passes if loss_without - ALMOST_NOTHING >= 0.5 - margin.
    margin = 0.5 - (loss_without - ALMOST_NOTHING) - distance
    options = ScreenOptions(screen_by="near", screen_margin=margin, screen_control=0.0, screen_distance=1)
    call = replace(CALL, loss_without=loss_without)
    (row,) = score([call], [DOCUMENT], model, TOOLS, ScoreOptions(screen=options))
    assert row.screening == ("passed" if distance < 0 else "left_out")


def overlapping(*results: str) -> tuple[list[Scored], ScriptedModel]:
    """Calls before " 5 apples", of which the first has 1/1000 and the second 0.9."""
    model = ScriptedModel(TRUSTING)
    calls = [replace(CALL, result=result, loss_without=MUCH) for result in results]
    options = ScoreOptions(screen=ScreenOptions(screen_margin=0.0, screen_control=0.0))
    return score(calls, [DOCUMENT], model, TOOLS, options), model


def test_by_overlap_tokens_that_the_result_says_cost_nothing_and_the_others_most_of_what_they_did() -> None:
    rows, _ = overlapping("5", "6", "many apples", "5 apples")
    assert [row.loss_near for row in rows] == pytest.approx(
        [(1 - SWAY) * loss for loss in (4 / 15 * math.log(1 / 0.9), MUCH, 5 / 15 * math.log(1_000), 0.0)]
    )


def test_by_overlap_a_call_is_left_out_if_its_result_says_too_little_of_what_follows() -> None:
    rows, model = overlapping("5", "6", "many apples")
    # Of 2.33 nats the first result takes 2.31 away, the others 0.28 and 0.30; the threshold is 0.5.
    assert [row.screening for row in rows] == ["passed", "left_out", "left_out"]
    # One pass for the text, then L+ and L(e(c, epsilon)) of the first.
    assert model.asked["scores"] == 3 and "inserted" not in model.asked


def test_by_overlap_each_text_is_read_once_for_all_its_calls() -> None:
    model = ScriptedModel(TRUSTING)
    calls = [replace(CALL, token_index=place, result="6") for place in (1, 2, 4)]
    options = ScoreOptions(screen=ScreenOptions(screen_margin=-100.0, screen_control=0.0))
    rows = score(calls, [DOCUMENT], model, TOOLS, options)
    assert model.sequences == [f"{BOS}2 and 3 is 5 apples"]
    unlikely, likely = math.log(1_000), math.log(1 / 0.9)
    assert rows[1].loss_near == pytest.approx((1 - SWAY) * (12 / 15 * unlikely + 2 / 15 * likely))


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


@pytest.mark.parametrize("token_budget", [1, 4096])
@pytest.mark.parametrize("by", ["near", "overlap"])
def test_screenings_do_not_depend_on_the_batch(by: str, token_budget: int) -> None:
    documents = [make_document(f"The mill ground {n}00 sacks, 120 more than in May, and so on.") for n in range(4)]
    calls = [
        make_executed(document, place, place, call_input=call_input, result=result, loss_without=6.0)
        for document in documents
        for place in (3, 9, 15)
        for call_input, result in [("1+1", "2"), ("400-120", "280"), ("3+3", "6")]
    ]
    options = ScoreOptions(
        screen=ScreenOptions(screen_by=by, screen_margin=MARGINS[by], screen_distance=4, screen_control=0.2)
    )
    together = score(calls, documents, build_language_model(), TOOLS, options)
    alone = [
        row
        for call in calls
        for row in score([call], documents, build_language_model(token_budget=token_budget), TOOLS, options)
    ]
    assert [(row.screening, row.is_kept) for row in alone] == [(row.screening, row.is_kept) for row in together]
    assert {row.screening for row in together} == set(SCREENINGS)


@pytest.mark.parametrize(
    "option, value",
    [("screen_margin", math.inf), ("screen_control", 1.5), ("screen_control", -0.1), ("screen_distance", -1)],
)
def test_an_option_out_of_range_names_itself_and_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}; it must be"):
        ScreenOptions(**{option: value})  # type: ignore[arg-type]
