"""Pruning changes the work, never the calls kept; and down to `prune_below` the columns decide every threshold."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.support.in_paper import proposing_as_in_paper
from tests.support.models import FAMILIES, build_language_model, build_model
from tests.support.reference import reference_loss
from tests.support.rows import make_row
from tests.support.scripted_model import BOS, NoisyModel, ScriptedModel
from tests.support.small_world import Adder, make_document
from toolformer_ray.annotate.execute import execute
from toolformer_ray.annotate.openings import EncodedText, Opening
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.pruning import Found, drop_hopeless_calls
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import ScoreRequest
from toolformer_ray.losses.question import loss_alone, question_without_call
from toolformer_ray.records.calls import render_call
from toolformer_ray.records.stages import Candidate, Executed, Scored
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.tool import CallContext

OFF = -1e6
"""As `prune_below` it lets everything through: no loss, and no difference of losses, is as low."""
DOCUMENTS = [
    make_document("The mill ground 400 sacks, 120 more than in May."),
    make_document("La mer, or the sea: 水 e\u0301 [Calc() -> ] שלום 7"),
]
RESULTS = {"400 - 120": "280", "1+1": "2", "mill": "the people"}


class SlowAdder(Adder):
    """Is better not asked in vain."""

    is_expensive = True

    def __init__(self, **teaching: float) -> None:
        super().__init__(**teaching)
        self.asked: list[str] = []

    def run(self, call_input: str, context: CallContext) -> str:
        self.asked.append(call_input)
        return super().run(call_input, context)


FOUR_PLACES = make_document("a 1 2 3 4 5 b 1 2 3 4 5 c 1 2 3 4 5 d 1 2 3 4 5")
SURE_OF = {"plain": "a", "call": "b", "result": "abd"}
"""Behind what the model is sure of the digits after which letters; of others it thinks 1/1000."""


def four_fates(context: str) -> dict[str, float]:
    """A call opens after each letter; which loss decides it is another at each."""
    if context.endswith(" ["):
        letter = context[-3]
        return {f"Add({'abcd'.index(letter)}+1)]": 1.0}
    letter = max("abcd", key=context.rfind)
    if "Output: a" in context:
        return {" [": 0.5} if context[-1] in "abcd" else {}
    head = context.removeprefix(BOS)
    kind = "plain" if head.startswith("a") else "call" if "-> ]" in head else "result"
    return {f" {digit}": 0.99 for digit in "12345"} if letter in SURE_OF[kind] else {}


def annotate_four(prune_below: float | None) -> tuple[list[Scored], SlowAdder, list[str]]:
    """All rows, the tool, and the reasons for which propose dropped anything."""
    tool = SlowAdder(max_places=4, num_samples=2)
    tools, model = {"adder": tool}, ScriptedModel(four_fates)
    candidates, drops = propose([FOUR_PLACES], model, tools, proposing_as_in_paper(prune_below=prune_below))
    executed = execute(candidates, [FOUR_PLACES], ToolExecutor({tool.name: tool}))
    rows = score(executed, [FOUR_PLACES], model, tools, prune_below=prune_below)
    return rows, tool, [drop.reason for drop in drops]


@pytest.mark.paper("F5")
def test_each_loss_spares_what_comes_after_it_and_the_same_call_is_kept() -> None:
    rows, tool, reasons = annotate_four(prune_below=None)
    # After `a` no call is needed, after `b` no answer; the one after `c` does not help, the one after `d` does.
    assert reasons == ["loss_already_low", "loss_already_low_with_call"]
    assert sorted(tool.asked) == ["2+1", "3+1"]
    assert [(row.call_input, row.is_kept) for row in rows] == [("2+1", False), ("3+1", True)]
    everything, asked, none = annotate_four(prune_below=OFF)
    assert none == [] and sorted(asked.asked) == ["0+1", "1+1", "2+1", "3+1"]
    assert all(row.loss_reduction is not None for row in everything)
    (kept,), (kept_of_all,) = ([row for row in some if row.is_kept] for some in (rows, everything))
    assert replace(kept_of_all, seconds=kept.seconds) == kept


@cache
def model_of(family: str) -> LanguageModel:
    return build_language_model(family, token_budget=600)


def found_calls(model: LanguageModel, tool: SlowAdder) -> list[Found]:
    """Three calls at every third place of every text."""
    found = []
    for document in DOCUMENTS:
        places = model.tokenizer.places(document.text)
        text = EncodedText(document, places, ())
        for index in range(0, len(places.ids), 3):
            question = question_without_call(model.tokenizer, document.text_id, places.ids, index)
            loss = float(np.float32(loss_alone(model, question)))
            opening = Opening(text, tool, index, 0.5, loss)
            for call_input in RESULTS:
                at = {"token_index": index, "char_offset": opening.char_offset, "loss_without": loss}
                candidate = make_row(Candidate, text_id=document.text_id, call_input=call_input, **at)
                found.append((opening, candidate))
    return found


def answered(candidates: Sequence[Candidate]) -> list[Executed]:
    return [
        Executed(**vars(row), status="ok", result=RESULTS[row.call_input], seconds=0.0, from_cache=False)
        for row in candidates
    ]


def rows_of(family: str, tau: float, prune_below: float | None) -> list[Scored]:
    model, tool = model_of(family), SlowAdder(min_loss_reduction=tau)
    candidates, _ = drop_hopeless_calls(found_calls(model, tool), model, prune_below)
    return score(answered(candidates), DOCUMENTS, model, {"adder": tool}, prune_below=prune_below)


def names(rows: Sequence[Scored]) -> set[tuple[str, int, str]]:
    return {(row.text_id, row.token_index, row.call_input) for row in rows}


@pytest.mark.paper("F5")
@pytest.mark.parametrize("tau", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_random_models_keep_the_same_calls_with_and_without_pruning(family: str, tau: float) -> None:
    pruned, everything = rows_of(family, tau, None), rows_of(family, tau, OFF)
    assert len(everything) == len(found_calls(model_of(family), SlowAdder()))
    kept = names([row for row in everything if row.is_kept])
    assert names([row for row in pruned if row.is_kept]) == kept
    assert len(kept) < len(everything)
    # Of some families' random models no call helps by much more.
    assert kept or tau > 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_down_to_prune_below_a_sweep_over_the_columns_keeps_what_a_run_at_that_threshold_keeps(family: str) -> None:
    rows = rows_of(family, tau=0.5, prune_below=0.02)
    for tau in (0.02, 0.1, 0.25, 0.5):
        by_columns = [row for row in rows if row.loss_reduction is not None and row.loss_reduction >= np.float32(tau)]
        again = [row for row in rows_of(family, tau, OFF) if row.is_kept]
        assert names(by_columns) == names(again)
    assert len(names(rows)) > len(by_columns)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_that_came_with_a_call_is_the_formula_and_is_not_computed_again(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tool = model_of(family), SlowAdder(min_loss_reduction=0.02)
    candidates, _ = drop_hopeless_calls(found_calls(model, tool), model, None)
    texts = {document.text_id: document.text for document in DOCUMENTS}
    for row in candidates[::5]:
        text = texts[row.text_id]
        before = render_call(row.tool, row.call_input, "")
        loss = reference_loss(build_model(family), model.tokenizer, before, text, row.token_index)
        assert row.loss_with_call == pytest.approx(loss, abs=1e-4)
    asked: list[str] = []
    log_probs = model.log_probs

    def listen(requests: Sequence[ScoreRequest]) -> list[np.ndarray]:
        asked.extend(model.tokenizer.decode(request.ids) for request in requests)
        return log_probs(requests)

    monkeypatch.setattr(model, "log_probs", listen)
    score(answered(candidates), DOCUMENTS, model, {"adder": tool})
    assert asked and all(" -> 280]" in text or " -> 2]" in text or " -> the people]" in text for text in asked)


@pytest.mark.parametrize("noise", [-5e-5, 0.0, 5e-5])
@pytest.mark.parametrize("distance", [-1e-5, 1e-5])
def test_a_call_that_is_nearly_dropped_before_its_tool_is_asked_is_settled_alone(noise: float, distance: float) -> None:
    model = NoisyModel(lambda context: {" 5": 0.5} if context.endswith(" -> ]2 and 3 is") else {}, noise)
    document = make_document("2 and 3 is 5")
    # One token is left, with weight 5/15.
    tool = SlowAdder(min_loss_reduction=5 / 15 * math.log(2) + distance)
    opening = Opening(EncodedText(document, model.tokenizer.places(document.text), ()), tool, 4, 0.5, 9.0)
    call = make_row(Candidate, text_id=document.text_id, token_index=4, char_offset=10, loss_without=9.0)
    candidates, dropped = drop_hopeless_calls([(opening, call)], model, None)
    assert [drop.detail for drop in dropped] == (["2+3"] if distance > 0 else [])
    assert len(candidates) == (distance < 0)


def test_a_call_that_does_not_fit_before_its_text_is_left_to_the_filter() -> None:
    tool, model = SlowAdder(max_places=4, num_samples=2), ScriptedModel(four_fates)
    opening = Opening(EncodedText(FOUR_PLACES, model.tokenizer.places(FOUR_PLACES.text), ()), tool, 7, 0.5, 9.0)
    place = {"token_index": 7, "char_offset": opening.char_offset, "loss_without": 9.0}
    unknown = make_row(Candidate, text_id=FOUR_PLACES.text_id, call_input="1+1", **place)
    assert drop_hopeless_calls([(opening, unknown)], model, None)[0] == []
    model.window = 20
    assert drop_hopeless_calls([(opening, unknown)], model, None) == ([unknown], [])
