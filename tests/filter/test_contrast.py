"""With decoys a call is scored in its place: its own result against others of the same kind."""

import math
from collections.abc import Sequence

import pytest

from tests.support.models import build_language_model, build_model
from tests.support.reference import WEIGHTS, reference_log_probs
from tests.support.scripted_model import BOS, NoisyModel, ScriptedModel, suffixes
from tests.support.small_world import Adder, make_document, make_executed
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.losses.options import FilterName, FilterOptions
from toolformer_ray.records.stages import Executed, Scored

DOCUMENT = make_document("2 and 3 is 5 apples")
PLACE = {"token_index": 4, "char_offset": len("2 and 3 is")}
DECOYS = ("7", "8")
CALL = " [Add(2+3) ->"


def executed(**columns: object) -> Executed:
    return make_executed(DOCUMENT, **{**PLACE, "loss_without": 9.0, "decoys": DECOYS, **columns})  # type: ignore[arg-type]


def scores(model: ScriptedModel, call: Executed, filter_name: FilterName = "decoys", **thresholds: float) -> Scored:
    (row,) = score([call], [DOCUMENT], model, {"adder": Adder(**thresholds)}, options=FilterOptions(filter=filter_name))
    return row


def believing(results: Sequence[tuple[str, float]]) -> ScriptedModel:
    """Gives " 5" behind the call in its place the probability that belongs to the result, 1/1000 to all else."""
    return ScriptedModel(suffixes({f"{BOS}2 and 3 is{CALL} {result}]": {" 5": p} for result, p in results}))


def of_first(probability: float) -> float:
    """The loss if " 5" has a probability and " apples" 1/1000: the first two of five weights count."""
    return -(5 * math.log(probability) + 4 * math.log(1 / 1000)) / 15


def test_the_losses_in_place_are_those_behind_the_result_and_behind_each_decoy() -> None:
    row = scores(believing([("5", 0.9), ("7", 0.1), ("8", 0.01)]), executed())
    assert row.loss_in_place == pytest.approx(of_first(0.9))
    assert row.losses_of_decoys == pytest.approx([of_first(0.1), of_first(0.01)])
    assert row.contrast == pytest.approx((of_first(0.1) + of_first(0.01)) / 2 - of_first(0.9))
    assert row.is_kept and (row.loss_with_call, row.loss_with_result, row.loss_reduction) == (None, None, None)


def test_of_each_token_behind_a_call_is_kept_what_the_result_spares_it() -> None:
    row = scores(believing([("5", 0.9), ("7", 0.1), ("8", 0.01)]), executed())
    assert [DOCUMENT.text[:end] for end in row.token_ends] == ["2 and 3 is 5", "2 and 3 is 5 apples"]
    # " apples" is as likely behind every result.
    assert row.token_contrasts == pytest.approx([math.log(0.9) - (math.log(0.1) + math.log(0.01)) / 2, 0.0])
    assert row.contrast == pytest.approx(5 / 15 * row.token_contrasts[0])


def test_a_call_that_was_not_compared_with_decoys_says_nothing_of_tokens() -> None:
    row = scores(believing([]), executed(decoys=()))
    assert (row.token_ends, row.token_contrasts) == ((), ())


def test_a_call_that_helps_whatever_its_result_is_not_kept() -> None:
    row = scores(believing([("5", 0.9), ("7", 0.9), ("8", 0.9)]), executed(), min_contrast=0.05)
    assert row.contrast == pytest.approx(0.0, abs=1e-6) and not row.is_kept


def test_a_call_is_not_kept_where_the_text_has_less_to_lose_than_the_threshold() -> None:
    model = believing([("5", 0.9), ("7", 0.1), ("8", 0.1)])
    kept = [scores(model, executed(loss_without=w), min_contrast=0.5).is_kept for w in (0.5, 0.49)]
    assert kept == [True, False]


def test_without_a_decoy_or_a_result_there_is_nothing_to_judge_by() -> None:
    for call in (executed(decoys=()), executed(result=None, status="timeout", decoys=())):
        row = scores(believing([]), call)
        assert (row.loss_in_place, row.contrast, row.decoys_passing, row.is_kept) == (None, None, None, False)


def test_a_call_that_does_not_fit_with_its_longest_decoy_is_not_scored() -> None:
    model = believing([("5", 0.9), ("7", 0.1), ("1 2 3 4", 0.1)])
    call = executed(decoys=("7", "1 2 3 4"))
    # The beginning-of-sequence token, four of the text, ten of the call up to its arrow, the answer with the end
    # marker, and two of the text.
    model.window = len(model.tokenizer.encode(f"2 and 3 is{CALL} 1 2 3 4] 5 apples")) + 1
    assert scores(model, call).is_kept
    model.window -= 1
    assert scores(model, call).contrast is None


def test_the_filter_both_has_the_columns_of_both_and_the_verdict_of_decoys() -> None:
    beliefs = {f"{BOS}2 and 3 is{CALL} {result}]": {" 5": p} for result, p in [("5", 0.9), ("7", 0.1), ("8", 0.1)]}
    model = ScriptedModel(suffixes(beliefs))
    both, decoys, paper = (scores(model, executed(), name) for name in ("both", "decoys", "paper"))
    assert (both.loss_with_result, both.loss_with_call) == (paper.loss_with_result, paper.loss_with_call)
    assert (both.contrast, both.losses_of_decoys, both.is_kept) == (decoys.contrast, decoys.losses_of_decoys, True)
    assert not paper.is_kept and paper.contrast is None


@pytest.mark.parametrize("distance", [-1e-5, 1e-5])
@pytest.mark.parametrize("noise", [-5e-5, 5e-5])
def test_a_contrast_close_to_the_threshold_is_computed_on_the_sequences_alone(noise: float, distance: float) -> None:
    beliefs = {f"{CALL} 5]": {" 5": 0.9}, f"{CALL} 7]": {" 5": 0.1}, f"{CALL} 8]": {" 5": 0.1}}
    model = NoisyModel(suffixes(beliefs), noise, turns_sign="-> 5]")
    exact = 5 / 15 * math.log(0.9 / 0.1)
    row = scores(model, executed(), min_contrast=exact + distance)
    assert row.is_kept == (distance < 0) and row.contrast == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("token_budget", [1, 4096])
def test_losses_in_place_are_those_of_brute_force_over_whole_sequences(token_budget: int) -> None:
    model = build_language_model(token_budget=token_budget)
    documents = [make_document(text) for text in ("The mill ground 400 sacks, 120 more than in May.", "It is 5 now")]
    calls = [
        make_executed(document, 0, place, call_input=call_input, result="280", decoys=("1", "99999"))
        for document in documents
        for place in (0, 2)
        for call_input in ("400 - 120", "1+1")
    ]
    rows = score(calls, documents, model, {"adder": Adder()}, options=FilterOptions())
    texts = {document.text_id: document.text for document in documents}
    for row in rows:
        expected = [brute_force(model, texts[row.text_id], row, answer) for answer in (row.result or "", *row.decoys)]
        assert [row.loss_in_place, *row.losses_of_decoys] == pytest.approx(expected, abs=1e-4)


def brute_force(model: LanguageModel, text: str, row: Scored, answer: str) -> float:
    encode, text_ids = model.tokenizer.encode, model.tokenizer.encode(text)
    call_ids = [*encode(" ["), *encode(f"Add({row.call_input}) ->"), *encode(f" {answer}]")]
    before = [*model.tokenizer.bos_ids, *text_ids[: row.token_index], *call_ids]
    log_probs = reference_log_probs(build_model("llama"), [*before, *text_ids[row.token_index :]])
    return -sum(weight * value for weight, value in zip(WEIGHTS, log_probs[len(before) :], strict=False))


def test_calls_of_a_text_share_its_reading_and_decoys_share_their_call() -> None:
    model = build_language_model()
    document = make_document("The town lies on the river. " * 8)
    num_tokens = len(model.tokenizer.encode(document.text))
    calls = [make_executed(document, 0, place, result="280", decoys=("281", "282", "283")) for place in (20, 21)]
    before = model.num_tokens_read
    score(calls, [document], model, {"adder": Adder()}, options=FilterOptions())
    opening = len(model.tokenizer.encode(" [")) + len(model.tokenizer.encode("Add(2+3) ->"))
    ending = len(model.tokenizer.encode(" 280]")) + 4
    assert num_tokens > 22 and model.num_tokens_read - before == 1 + 21 + 2 * opening + 2 * 4 * ending


@pytest.mark.parametrize("distance", [2, 50])
def test_a_call_may_stand_some_tokens_before_its_place_but_no_further_than_the_text(distance: int) -> None:
    before, between = ("2 and", " 3 is") if distance == 2 else ("", "2 and 3 is")
    model = ScriptedModel(suffixes({f"{BOS}{before}{CALL} 5]{between}": {" 5": 0.9}}))
    options = FilterOptions(call_distance=distance)
    (row,) = score([executed()], [DOCUMENT], model, {"adder": Adder()}, options=options)
    assert row.loss_in_place == pytest.approx(of_first(0.9)) and row.contrast > 0


def test_in_its_place_a_call_counts_from_the_first_token_that_is_not_white_space_alone() -> None:
    document = make_document("2 and 3 is\n5 apples")
    model = ScriptedModel(suffixes({f"{BOS}2 and 3 is{CALL} 5]\n": {"5": 0.9}}))
    call = make_executed(document, PLACE["char_offset"], PLACE["token_index"], loss_without=9.0, decoys=DECOYS)
    (row,) = score([call], [document], model, {"adder": Adder()}, options=FilterOptions())
    assert row.loss_in_place == pytest.approx(of_first(0.9))
