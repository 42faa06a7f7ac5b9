"""Proposals and verdicts do not depend on how texts are batched: only the last digits of losses may differ."""

from dataclasses import replace
from functools import cache

import pytest

from tests.support.in_paper import proposing_as_in_paper
from tests.support.models import build_language_model
from tests.support.small_world import Adder, Translator, make_document, make_executed
from toolformer_ray.annotate.propose import propose
from toolformer_ray.filter.score import score
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.records.stages import Candidate, Document, Dropped, Scored

DOCUMENTS = [
    make_document(text)
    for text in (
        "The mill ground 400 sacks, 120 more than in May.",
        "La mer 1, or the sea, lies by the town.",
        "7",
        "In the year of the flood, 1784, the bridge was built by the 300 people of the town; la mer was high.",
    )
]


@cache
def model(token_budget: int) -> LanguageModel:
    return build_language_model("gpt_neox", token_budget=token_budget)


def proposals(documents: list[Document], token_budget: int) -> tuple[list[Candidate], list[Dropped]]:
    teaching = {"min_open_probability": 0.001, "max_places": 3, "min_loss_reduction": -1.0}
    tools = {"adder": Adder(**teaching), "translator": Translator(**teaching)}
    return propose(documents, model(token_budget), tools, proposing_as_in_paper(max_call_tokens=8))


def verdicts(documents: list[Document], token_budget: int) -> list[Scored]:
    calls = [
        make_executed(document, index, index, call_input=call_input, result=result, loss_without=9.0)
        for document in documents
        for index in range(min(3, len(document.text)))
        for call_input, result in [("1+1", "2"), ("400-120", "280")]
    ]
    return score(calls, documents, model(token_budget), {"adder": Adder()})


@pytest.mark.parametrize("token_budget", [1, 300, 4096])
def test_proposals_are_the_same_for_texts_alone_together_and_in_other_batches(token_budget: int) -> None:
    candidates, drops = proposals(DOCUMENTS, 4096)
    assert {drop.reason for drop in drops} >= {"not_offered", "sample_unfinished"}
    parts = [proposals([document], token_budget) for document in DOCUMENTS]
    again, dropped_again = [row for part in parts for row in part[0]], [row for part in parts for row in part[1]]
    assert dropped_again == drops
    assert _without_digits(again) == _without_digits(candidates)
    assert [row.loss_without for row in again] == pytest.approx([row.loss_without for row in candidates], abs=1e-4)


def _without_digits(rows: list[Candidate]) -> list[Candidate]:
    return [replace(row, loss_without=0.0, open_probability=0.0) for row in rows]


@pytest.mark.parametrize("token_budget", [1, 300])
def test_losses_are_the_same_to_four_digits_and_verdicts_to_the_last(token_budget: int) -> None:
    rows, again = verdicts(DOCUMENTS, 4096), verdicts(DOCUMENTS[::-1], token_budget)
    by_call = {(row.text_id, row.token_index, row.call_input): row for row in again}
    for row in rows:
        other = by_call[row.text_id, row.token_index, row.call_input]
        assert row.is_kept == other.is_kept
        assert row.loss_with_result == pytest.approx(other.loss_with_result, abs=1e-4)
        assert row.loss_with_call == pytest.approx(other.loss_with_call, abs=1e-4)
