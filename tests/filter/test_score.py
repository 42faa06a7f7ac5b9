import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from tests.support.scripted_model import BOS, NoisyModel, ScriptedModel, suffixes
from tests.support.small_world import Adder, Translator, make_document, make_executed
from toolformer_ray.filter.score import score, sees_future
from toolformer_ray.records.stages import Document, Executed, Scored

DOCUMENT = make_document("2 and 3 is 5 apples")
PLACE = {"token_index": 4, "char_offset": len("2 and 3 is")}


def executed(**columns: object) -> Executed:
    return make_executed(DOCUMENT, **{**PLACE, **columns})  # type: ignore[arg-type]


def scores(
    model: ScriptedModel,
    *calls: Executed,
    documents: Sequence[Document] = (DOCUMENT,),
    prune_below: float | None = None,
    in_place: bool = False,
    **thresholds: float,
) -> list[Scored]:
    tools = {"adder": Adder(**thresholds), "translator": Translator(**thresholds)}
    return score(calls, documents, model, tools, prune_below=prune_below, in_place=in_place)


def believing(calls: Mapping[str, float]) -> ScriptedModel:
    """Gives " 5" and " apples" the probability that belongs to what stands before the text, 1/1000 to all else."""
    return ScriptedModel(
        lambda context: next(
            ({" 5": p, " apples": p} for start, p in calls.items() if context.startswith(f"{BOS}{start}2 and")), {}
        )
    )


ANSWERED, EMPTY = " [Add(2+3) -> 5]", " [Add(2+3) -> ]"
# Two tokens are left, with weights 5/15 and 4/15.
HALF, TENTH, THOUSANDTH = (9 / 15 * math.log(n) for n in (2, 10, 1_000))


@pytest.mark.paper("F5")
def test_the_result_lowers_the_loss_and_the_call_is_kept() -> None:
    (row,) = scores(believing({ANSWERED: 1 / 2, EMPTY: 1 / 10}), executed(loss_without=THOUSANDTH))
    assert row.loss_with_result == pytest.approx(HALF)
    assert row.loss_with_call == pytest.approx(TENTH)
    assert row.loss_reduction == pytest.approx(TENTH - HALF)
    assert row.is_kept
    unchanged = vars(executed()).keys() - {"loss_without", "loss_with_call"}
    assert all(getattr(row, name) == getattr(executed(), name) for name in unchanged)


@pytest.mark.paper("F4")
def test_the_better_baseline_counts_whichever_it_is() -> None:
    model = believing({ANSWERED: 1 / 2, EMPTY: 1 / 1_000})
    (row,) = scores(model, executed(loss_without=TENTH))
    assert row.loss_reduction == pytest.approx(TENTH - HALF)
    (row,) = scores(model, executed(loss_without=9.0))
    assert row.loss_reduction == pytest.approx(THOUSANDTH - HALF)


@pytest.mark.paper("F4")
def test_a_call_that_helps_as_much_without_its_answer_is_not_kept() -> None:
    (row,) = scores(believing({ANSWERED: 1 / 2, EMPTY: 1 / 2}), executed(loss_without=THOUSANDTH))
    assert row.loss_reduction == pytest.approx(0, abs=1e-6) and not row.is_kept


@pytest.mark.paper("F3")
def test_the_loss_moves_when_the_result_changes() -> None:
    model = believing({ANSWERED: 1 / 2, " [Add(2+3) -> 6]": 1 / 1_000, EMPTY: 1 / 10})
    right, wrong = scores(model, executed(), executed(result="6"))
    assert right.loss_with_result == pytest.approx(HALF)
    assert wrong.loss_with_result == pytest.approx(THOUSANDTH)


@pytest.mark.paper("F3")
def test_the_call_stands_before_the_whole_text_and_the_text_ends_with_the_last_weighted_token() -> None:
    document = make_document("2 and 3 is 5 apples and 6 pears and more")
    model = ScriptedModel(lambda context: {})
    call = replace(executed(loss_without=100.0), text_id=document.text_id)
    scores(model, call, documents=[document])
    assert model.sequences == [
        f"{BOS} [Add(2+3) -> 5]2 and 3 is 5 apples and 6 pears",
        f"{BOS} [Add(2+3) -> ]2 and 3 is 5 apples and 6 pears",
    ]


@pytest.mark.paper("F5")
def test_the_call_without_an_answer_is_asked_for_only_where_it_matters() -> None:
    model = believing({ANSWERED: 1 / 10})
    lost, hopeful = scores(model, executed(loss_without=TENTH + 0.4), executed(loss_without=TENTH + 0.6))
    assert (lost.loss_with_call, lost.loss_reduction, lost.is_kept) == (None, None, False)
    assert lost.loss_with_result == pytest.approx(TENTH)
    assert hopeful.loss_with_call is not None and hopeful.loss_reduction is not None
    # Both are the same call before the same text: L+ is read once for the two, then L(e(c, epsilon)) for one.
    assert model.asked["scores"] == 2


def test_one_pass_gives_the_losses_of_a_call_at_all_its_places_in_a_text() -> None:
    document = make_document("2 and 3 is 5 apples and 6 pears")
    model = ScriptedModel(suffixes({" 6": {" pears": 0.5}}))
    calls = [replace(executed(loss_without=1.0), text_id=document.text_id, token_index=index) for index in (3, 4)]
    early, late = scores(model, *calls, documents=[document])
    assert model.sequences == [f"{BOS} [Add(2+3) -> 5]2 and 3 is 5 apples and 6 pears"]
    # Each unlikely token costs ln 1000; " pears", the last of the second place's five, ln 2.
    assert early.loss_with_result == pytest.approx(math.log(1_000))
    assert late.loss_with_result == pytest.approx(14 / 15 * math.log(1_000) + 1 / 15 * math.log(2))


def test_a_lower_bound_for_later_sweeps_scores_more_and_keeps_the_same() -> None:
    model = believing({ANSWERED: 1 / 10, EMPTY: 1 / 1_000})
    for prune_below, is_scored in [(None, False), (0.5, False), (0.3, True), (9.0, False)]:
        (row,) = scores(model, executed(loss_without=TENTH + 0.4), prune_below=prune_below)
        assert (row.loss_reduction is not None, row.is_kept) == (is_scored, False)


@pytest.mark.paper("F5")
def test_a_reduction_equal_to_the_threshold_is_enough() -> None:
    model = believing({ANSWERED: 1 / 2, EMPTY: 1 / 10})
    (row,) = scores(model, executed(loss_without=THOUSANDTH))
    assert row.loss_reduction is not None
    (kept,) = scores(model, executed(loss_without=THOUSANDTH), min_loss_reduction=row.loss_reduction)
    assert kept.is_kept
    (lost,) = scores(model, executed(loss_without=THOUSANDTH), min_loss_reduction=row.loss_reduction + 1e-3)
    assert not lost.is_kept


@pytest.mark.parametrize("status", ["empty", "bad_input", "timeout", "crashed", "unavailable"])
def test_a_call_without_an_answer_stays_with_its_status_and_without_losses(status: str) -> None:
    model = believing({})
    (row,) = scores(model, executed(status=status, result=None))
    assert (row.status, row.loss_with_call, row.loss_with_result, row.loss_reduction) == (status, None, None, None)
    assert not row.is_kept and model.asked["scores"] == 0


def test_a_call_that_does_not_fit_before_the_text_is_not_scored() -> None:
    model = believing({ANSWERED: 1 / 2, EMPTY: 1 / 10})
    # The beginning-of-sequence token, 11 tokens of the call and 6 of the text.
    model.window = 18
    (row,) = scores(model, executed(loss_without=THOUSANDTH))
    assert row.is_kept
    model.window = 17
    (row,) = scores(model, executed(loss_without=THOUSANDTH))
    assert (row.status, row.loss_with_result, row.is_kept) == ("ok", None, False)


def test_rows_come_back_in_their_order_with_calls_of_many_texts_and_tools() -> None:
    other = make_document("La mer, the sea")
    calls = [
        executed(result="6"),
        replace(executed(tool="MT", call_input='"mer"', result="the sea"), text_id=other.text_id, token_index=2),
        executed(status="timeout", result=None),
        executed(),
    ]
    rows = scores(believing({ANSWERED: 1 / 2, EMPTY: 1 / 10}), *calls, documents=[other, DOCUMENT])
    assert [(row.text_id, row.tool, row.status, row.result) for row in rows] == [
        (call.text_id, call.tool, call.status, call.result) for call in calls
    ]
    assert [row.is_kept for row in rows] == [False, False, False, True]


def test_what_occurs_only_after_the_place_is_seen_ahead() -> None:
    text = "La mer, or the sea; la mer"
    assert sees_future("the sea", text, 7)
    assert not sees_future("the sea", text, len("La mer, or the"))
    assert not sees_future("mer", text, 7)
    assert sees_future("mer", text, 2)
    assert not sees_future("", text, 2)
    assert not sees_future("ocean", text, 2)


def translation(text: str, char_offset: int, token_index: int) -> Scored:
    document = make_document(text)
    call = make_executed(document, char_offset, token_index, tool="MT", call_input='"mer"', result="the sea")
    helpful = ScriptedModel(lambda context: {} if "-> ]" in context else dict.fromkeys([" the", " sea", " mer"], 0.9))
    (row,) = scores(helpful, replace(call, loss_without=9.0), documents=[document])
    assert row.loss_reduction is not None and row.loss_reduction > 0.5
    return row


@pytest.mark.paper("H5")
def test_a_translation_whose_input_only_comes_later_is_struck() -> None:
    before = translation("La mer is the sea", 9, 3)
    assert (before.input_sees_future, before.sees_future, before.is_kept) == (False, True, True)
    after = translation("It is the sea, la mer", 5, 2)
    assert (after.input_sees_future, after.sees_future, after.is_kept) == (True, True, False)


def test_other_tools_keep_calls_whose_input_only_comes_later() -> None:
    document = make_document("It is 5 so 2+3 is right")
    call = make_executed(document, 5, 2, loss_without=9.0)
    (row,) = scores(ScriptedModel(suffixes({"-> 5]It is": {" 5": 1.0}})), call, documents=[document])
    assert row.input_sees_future and row.is_kept


@pytest.mark.parametrize("noise", [-5e-5, 0.0, 5e-5])
@pytest.mark.parametrize("distance", [-1e-5, 1e-5])
@pytest.mark.parametrize("is_decided_early", [False, True], ids=["verdict", "hopeless"])
def test_a_loss_reduction_close_to_the_threshold_is_computed_on_the_sequences_alone(
    is_decided_early: bool, distance: float, noise: float
) -> None:
    # The better baseline is the call without its result, or the text without a call.
    baseline = BOS if is_decided_early else EMPTY
    beliefs = suffixes({f"{ANSWERED}2 and 3 is": {" 5": 0.9}, f"{baseline}2 and 3 is": {" 5": 0.4}})
    model = NoisyModel(beliefs, noise, turns_sign="-> 5]")
    exact = 5 / 15 * math.log(0.9 / 0.4)
    alone = 5 / 15 * math.log(1 / 0.4) + 4 / 15 * math.log(1_000)
    loss_without = alone - noise if is_decided_early else 9.0
    (row,) = scores(model, executed(loss_without=loss_without), min_loss_reduction=exact + distance)
    assert row.is_kept == (distance < 0)
    if is_decided_early:
        assert (row.loss_with_call is None) == (distance > 0)
    else:
        assert row.loss_reduction == pytest.approx(exact, abs=1e-6)


@pytest.mark.paper("F8")
def test_in_a_second_round_a_call_stands_at_its_place_while_it_is_scored() -> None:
    text = DOCUMENT.text
    before, after = text[: PLACE["char_offset"]], text[PLACE["char_offset"] :]
    assert before.endswith(" is") and after.startswith(" 5")
    beliefs = {ANSWERED: 1 / 2, EMPTY: 1 / 10}
    model = ScriptedModel(
        lambda context: next(
            ({" 5": p, " apples": p} for call, p in beliefs.items() if context.startswith(f"{BOS}{before}{call}")), {}
        )
    )
    (row,) = scores(model, executed(loss_without=THOUSANDTH), in_place=True)
    assert row.loss_with_result == pytest.approx(HALF)
    assert row.loss_with_call == pytest.approx(TENTH)
    assert row.is_kept
    assert model.sequences == [f"{BOS}{before}{ANSWERED}{after}", f"{BOS}{before}{EMPTY}{after}"]


def test_a_call_of_another_proposer_gets_its_loss_without_a_call_here() -> None:
    model = believing({ANSWERED: 1 / 2, EMPTY: 1 / 10})
    (known,) = scores(model, executed(loss_without=THOUSANDTH))
    (unknown,) = scores(model, executed(loss_without=math.nan))
    assert unknown.is_kept
    for name in ("loss_without", "loss_with_call", "loss_with_result", "loss_reduction"):
        assert getattr(unknown, name) == pytest.approx(getattr(known, name))


def test_where_another_proposes_a_place_that_surprises_nobody_gets_no_further_loss() -> None:
    sure = ScriptedModel(lambda _: {" 5": 0.9, " apples": 0.9})
    (row,) = scores(sure, executed(loss_without=math.nan), min_loss_reduction=0.5)
    assert row.loss_without == pytest.approx(-9 / 15 * math.log(0.9)) and not row.is_kept
    assert (row.loss_with_result, row.loss_with_call) == (None, None) and sure.asked["scores"] == 1
