"""The places where a call's whole opening is the most probable, against the formulas, on models with random weights."""

import math

import numpy as np
import pytest

from tests.support.models import FAMILIES, build_language_model, build_model
from tests.support.reference import reference_log_probs, reference_logits, reference_start_log_probs
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Place, Prompt

TEXT = "The mill ground 400 sacks, 120 more than in May, and the bridge was built in the year of the flood."


def make_prompt(model, **given) -> Prompt:
    encode = model.tokenizer.encode
    shared_ids = [*model.tokenizer.bos_ids, *encode("Add a call.")]
    usual = {"shared_ids": shared_ids, "own_ids": [], "text_ids": encode(TEXT), "opening_ids": encode("QA(")}
    return Prompt(**usual | given)


def answer(model, prompts, keys=()):
    """What the engine shows for each prompt, and the samples at the most probable place."""
    shown: dict[int, np.ndarray] = {}

    def choose(batch, log_openings):
        shown.update(zip(batch, log_openings, strict=True))
        return [[Place(token_index=int(shown[n].argmax()), keys=keys)] for n in batch]

    samples = model.sample_calls(prompts, choose, max_new_tokens=4)
    return [shown[n] for n in range(len(prompts))], samples


def reference_openings(network, tokenizer, prompt: Prompt) -> np.ndarray:
    before = [*prompt.shared_ids, *prompt.own_ids]
    starts = np.array(reference_start_log_probs(network, tokenizer, before, prompt.text_ids))
    for index in range(len(starts)):
        ids = [*before, *prompt.text_ids[:index], *tokenizer.open_ids, *prompt.opening_ids]
        starts[index] += sum(reference_log_probs(network, ids)[-len(prompt.opening_ids) :])
    return starts


@pytest.mark.parametrize("family", FAMILIES)
def test_the_best_openings_are_those_of_brute_force(family: str) -> None:
    model = build_language_model(family)
    for num_best in (None, 4):
        prompt = make_prompt(model, num_best=num_best, asked=range(2, 30, 3))
        expected = reference_openings(build_model(family), model.tokenizer, prompt)
        [found], _ = answer(model, [prompt])
        asked = sorted(prompt.asked, key=lambda index: -expected[index])
        best = asked[:num_best]
        assert found[best] == pytest.approx(expected[best], abs=1e-4)
        assert set(np.flatnonzero(np.isfinite(found))) <= set(asked)
        alone = model.start_log_probs_alone(prompt)
        assert alone[asked] == pytest.approx(expected[asked], abs=1e-4)


def test_names_are_read_only_where_the_marker_leaves_them_a_chance(monkeypatch) -> None:
    model = build_language_model()
    text_ids = model.tokenizer.encode(TEXT)
    # The marker is by far the most probable before tokens 5 and 9, so that no other place can be among the two best.
    log_starts = {n: -1.0 if n in (5, 9) else -50.0 for n in range(len(text_ids))}
    monkeypatch.setattr(
        "toolformer_ray.lm.writing.prompts.PromptReader._log_starts",
        lambda reader, hidden, prompts: [__import__("torch").tensor(list(log_starts.values())) for _ in prompts],
    )
    [found], _ = answer(model, [make_prompt(model, num_best=2)])
    assert np.flatnonzero(np.isfinite(found)).tolist() == [5, 9]


def test_samples_begin_behind_the_opening_and_without_a_key_take_the_likeliest_token() -> None:
    model, network = build_language_model(), build_model("llama")
    prompt = make_prompt(model)
    [found], [[[greedy, drawn]]] = answer(model, [prompt], keys=[None, 7])
    ids = [*prompt.shared_ids, *prompt.text_ids[: int(found.argmax())], *model.tokenizer.open_ids, *prompt.opening_ids]
    for token in greedy.ids:
        assert token == int(reference_logits(network, ids)[-1].argmax())
        ids.append(token)
    assert drawn.ids != greedy.ids


def test_a_prompt_does_not_depend_on_the_others_in_its_batch() -> None:
    model = build_language_model(token_budget=4096)
    prompts = [
        make_prompt(model, text_ids=model.tokenizer.encode(TEXT[: 30 + 9 * n]), asked=[1, 4, 7], num_best=2)
        for n in range(5)
    ]
    together, samples = answer(model, prompts, keys=[None, 3])
    for number, prompt in enumerate(prompts):
        [alone], [its_samples] = answer(build_language_model(token_budget=1), [prompt], keys=[None, 3])
        assert alone == pytest.approx(together[number], abs=1e-4)
        assert its_samples == samples[number]


def test_only_rows_that_are_asked_about_go_through_the_vocabulary_head(monkeypatch) -> None:
    model = build_language_model()
    num_rows = []
    logits = Network.logits
    monkeypatch.setattr(
        Network, "logits", lambda network, hidden_RW: num_rows.append(len(hidden_RW)) or logits(network, hidden_RW)
    )
    answer(model, [make_prompt(model, opening_ids=(), asked=[3, 8])])
    assert sum(num_rows) == 2


def test_a_larger_vocabulary_sends_fewer_rows_through_the_head_at_once(monkeypatch) -> None:
    model = build_language_model()
    size = model._network.vocabulary_size
    monkeypatch.setattr("toolformer_ray.lm.network.HEAD_NUMBERS", 7 * size + 1)
    assert model._network.head_rows == 7
    monkeypatch.setattr("toolformer_ray.lm.network.HEAD_NUMBERS", size - 1)
    assert model._network.head_rows == 1


def test_a_place_that_is_not_in_the_text_is_refused() -> None:
    model = build_language_model()
    with pytest.raises(ValueError, match="asked about token 900 of a text of"):
        answer(model, [make_prompt(model, asked=[900])])


def test_where_nothing_is_asked_nothing_is_possible() -> None:
    model = build_language_model()
    [found], [[samples]] = answer(model, [make_prompt(model, asked=[])])
    assert np.all(found == -math.inf) and samples == []
