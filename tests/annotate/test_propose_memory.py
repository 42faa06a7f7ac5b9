"""Memory that runs out, wherever that is in a stream of proposals: the rows are those of a larger device."""

from collections import Counter
from collections.abc import Callable

import pytest
import torch

from tests.support.in_paper import proposing_as_in_paper
from tests.support.models import build_language_model
from tests.support.small_world import Adder, make_document
from toolformer_ray.annotate.propose import propose
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Samples
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.prompts import PromptReader
from toolformer_ray.lm.writing.sequences import CachedSequences
from toolformer_ray.records.stages import Dropped

BUDGET = 256

CALL_SITES: list[tuple[type, str]] = [
    (PromptReader, "read"),
    (PromptReader, "open"),
    (PromptReader, "log_openings_alone"),
    (Generator, "fork"),
    (CachedSequences, "enter"),
    (CachedSequences, "write"),
    (Network, "read_whole"),
    (Network, "token_log_probs"),
    (Network, "any_token_log_probs"),
    (Network, "logits"),
]


def proposals(model: LanguageModel) -> tuple[list[Samples], list[Dropped]]:
    """The samples at the places of eight texts, two of which are read at a time, and the rows of what was dropped.

    A loss of 6 nats, in the middle of what the random model's places have, is the detail of such a row.
    """
    stream_calls, answers = model.stream_calls, []

    def kept(*args, **kwargs):
        answers.extend(stream_calls(*args, **kwargs))
        return answers

    model.stream_calls = kept  # type: ignore[method-assign]
    documents = [make_document(f"{n} and {n + 1} is {2 * n + 1}, so they say") for n in range(8)]
    tools = {"adder": Adder(min_open_probability=0.0, num_samples=9, min_loss_reduction=6.0)}
    _, dropped = propose(documents, model, tools, proposing_as_in_paper(max_call_tokens=6))
    return answers, dropped


def watch(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, before: Callable[[], None]) -> None:
    method = getattr(owner, name)

    def watched(self, *args, **kwargs):
        before()
        return method(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, watched)


@pytest.fixture(autouse=True)
def small_portions_and_close_choices(monkeypatch):
    monkeypatch.setattr("toolformer_ray.annotate.propose.TEXTS_AT_ONCE", 2)
    monkeypatch.setattr("toolformer_ray.annotate.portion.is_close_choice", lambda *_: True)


@pytest.fixture(scope="module")
def undisturbed() -> tuple[tuple[list[Samples], list[Dropped]], Counter]:
    """The proposals, and how often each call site was passed."""
    passed: Counter = Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolformer_ray.annotate.propose.TEXTS_AT_ONCE", 2)
        patch.setattr("toolformer_ray.annotate.portion.is_close_choice", lambda *_: True)
        model = build_language_model(token_budget=BUDGET)
        for owner, name in CALL_SITES:
            watch(patch, owner, name, lambda name=name: passed.update([name]))
        return proposals(model), passed


@pytest.mark.parametrize("when", [0.0, 0.5, 1.0], ids=["first", "amid", "last"])
@pytest.mark.parametrize("owner, name", CALL_SITES, ids=lambda value: getattr(value, "__name__", value))
def test_memory_that_runs_out_once_costs_half_the_budget_and_no_row(owner, name, when, undisturbed, monkeypatch):
    model, num_passed = build_language_model(token_budget=BUDGET), [0]
    expected, often = undisturbed

    def run_out_once():
        num_passed[0] += 1
        if num_passed[0] == 1 + int(when * (often[name] - 1)):
            raise torch.OutOfMemoryError("does not fit this once")

    watch(monkeypatch, owner, name, run_out_once)
    assert proposals(model) == expected
    assert model._budget.tokens == BUDGET // 2


def test_the_places_and_losses_of_these_texts_are_many(undisturbed):
    (answers, dropped), often = undisturbed
    assert sum(len(places) for portion in answers for places in portion) == 8
    assert len({row.detail for row in dropped if row.reason == "loss_already_low"}) == 8
    assert min(often.values()) > 2
