"""The engine's three answers against brute force: every family, every batch shape."""

import copy
import math

import numpy as np
import pytest
import torch
from transformers import BloomConfig, Gemma2Config, GPTJConfig, GraniteConfig, Lfm2Config

from tests.support.asking import Asked, draw_samples, start_log_probs
from tests.support.models import (
    FAMILIES,
    build_config_model,
    build_language_model,
    build_model,
    gpt2_tokenizer,
    wrap_model,
)
from tests.support.reference import reference_log_probs, reference_sample, reference_start_log_probs
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, ScoreRequest
from toolformer_ray.lm.tokenizer import TextTokenizer

DEMONSTRATIONS = 'Add a call.\n\nInput: The bridge\nOutput: The bridge [QA("Who?")]\n\nInput: '
TEXTS = ["The mill ground 400 sacks, 120 more than in May.", "Smile 😀!", "The town lies on the river. " * 4]

each_family = pytest.mark.parametrize("family", FAMILIES)


def shared_ids(tokenizer: TextTokenizer) -> list[int]:
    return [*tokenizer.bos_ids, *tokenizer.encode(DEMONSTRATIONS)]


def start_requests(tokenizer: TextTokenizer) -> list[Asked]:
    return [Asked(own_ids=tokenizer.encode(text + "\nOutput: "), text_ids=tokenizer.encode(text)) for text in TEXTS]


def sample_requests(tokenizer: TextTokenizer) -> list[Asked]:
    """Places at the start, in the middle and at the end of each text, three samples each."""
    return [
        Asked(
            own_ids=request.own_ids,
            text_ids=request.text_ids,
            places=[
                Place(token_index=i, keys=[1000 * number + 10 * i + key for key in range(3)])
                for i in (0, 3, len(request.text_ids) - 1)
            ],
        )
        for number, request in enumerate(start_requests(tokenizer))
    ]


def score_requests(tokenizer: TextTokenizer) -> list[ScoreRequest]:
    requests = []
    for text in TEXTS:
        for prefix in ("", " [Calculator(400 - 120) -> 280]"):
            ids = [*tokenizer.bos_ids, *tokenizer.encode(prefix), *tokenizer.encode(text)]
            requests.append(ScoreRequest(ids=ids, targets=[1, len(ids) - 3, len(ids) - 1]))
    return requests


@each_family
def test_every_known_family_shares_what_its_samples_begin_with(family, caplog):
    # Were sharing wrong, the engine would notice, read sequences whole, and all the other tests would pass.
    build_language_model(family)
    assert not [record for record in caplog.records if record.name == "toolformer_ray.lm.self_check"]


@pytest.mark.paper("C4")
@each_family
def test_start_log_probs_are_those_of_brute_force(family):
    model = build_language_model(family)
    shared = shared_ids(model.tokenizer)
    requests = start_requests(model.tokenizer)
    for request, answer in zip(requests, start_log_probs(model, shared, requests), strict=True):
        before = [*shared, *request.own_ids]
        expected = reference_start_log_probs(build_model(family), model.tokenizer, before, request.text_ids)
        assert answer == pytest.approx(expected, abs=1e-4)
        assert answer.dtype == np.float32
        assert model.start_log_probs_alone(request.prompt(shared)) == pytest.approx(expected, abs=1e-4)


@each_family
def test_log_probs_are_those_of_brute_force(family):
    model = build_language_model(family)
    requests = score_requests(model.tokenizer)
    for request, answer in zip(requests, model.log_probs(requests), strict=True):
        expected = np.array(reference_log_probs(build_model(family), request.ids))[request.targets]
        assert answer == pytest.approx(expected, abs=1e-4)
        assert model.log_probs_alone(request) == pytest.approx(expected, abs=1e-4)


@pytest.mark.paper("C7")
@each_family
def test_samples_are_those_of_brute_force(family):
    model = build_language_model(family)
    shared = shared_ids(model.tokenizer)
    requests = sample_requests(model.tokenizer)[:2]
    for request, places in zip(requests, draw_samples(model, shared, requests, max_new_tokens=8), strict=True):
        for place, samples in zip(request.places, places, strict=True):
            before = [*shared, *request.own_ids, *request.text_ids[: place.token_index]]
            for key, sample in zip(place.keys, samples, strict=True):
                expected = reference_sample(build_model(family), model.tokenizer, before, key, max_new_tokens=8)
                assert (sample.ids, sample.text) == expected


@each_family
def test_samples_that_end_at_different_steps_are_those_of_brute_force(family):
    model = build_language_model(family)
    tokenizer = model.tokenizer
    # Every fifth token ends a sample, so that samples leave at every step and the cache forgets them.
    tokenizer.end_marker_ids = frozenset(range(1, 400, 5))
    network, shared = build_model(family), shared_ids(tokenizer)
    text_ids = tokenizer.encode(TEXTS[0])
    places = [Place(token_index=i, keys=range(10 * i, 10 * i + 10)) for i in (1, 4)]
    [answer] = draw_samples(model, shared, [Asked(own_ids=[], text_ids=text_ids, places=places)], max_new_tokens=12)
    assert len({len(sample.ids) for samples in answer for sample in samples}) > 4
    for place, samples in zip(places, answer, strict=True):
        for key, sample in zip(place.keys, samples, strict=True):
            before = [*shared, *text_ids[: place.token_index]]
            assert sample.ids == reference_sample(network, tokenizer, before, key, max_new_tokens=12)[0]


@each_family
def test_answers_do_not_depend_on_the_batch(family):
    one_by_one, together = build_language_model(family, token_budget=1), build_language_model(family)
    tokenizer = together.tokenizer
    shared = shared_ids(tokenizer)
    for alone, batched in zip(
        start_log_probs(one_by_one, shared, start_requests(tokenizer)),
        start_log_probs(together, shared, start_requests(tokenizer)),
        strict=True,
    ):
        assert alone == pytest.approx(batched, abs=1e-5)
    for alone, batched in zip(
        one_by_one.log_probs(score_requests(tokenizer)), together.log_probs(score_requests(tokenizer)), strict=True
    ):
        assert alone == pytest.approx(batched, abs=1e-5)
    requests = sample_requests(tokenizer)
    samples = draw_samples(together, shared, requests, max_new_tokens=12)
    assert draw_samples(one_by_one, shared, requests, max_new_tokens=12) == samples
    assert draw_samples(together, shared, requests[::-1], max_new_tokens=12) == samples[::-1]


def test_answers_are_those_of_brute_force_with_the_tokenizer_of_gpt2():
    tokenizer, network = gpt2_tokenizer(), build_model("gpt2", vocabulary_size=50257)
    model = LanguageModel(network, tokenizer)
    shared = shared_ids(tokenizer)
    [request] = start_requests(tokenizer)[1:2]
    expected = reference_start_log_probs(network, tokenizer, [*shared, *request.own_ids], request.text_ids)
    assert start_log_probs(model, shared, [request])[0] == pytest.approx(expected, abs=1e-4)
    asked = Asked(own_ids=[], text_ids=request.text_ids, places=[Place(token_index=1, keys=[5])])
    [[[sample]]] = draw_samples(model, shared, [asked], max_new_tokens=3)
    before = [*shared, request.text_ids[0]]
    assert (sample.ids, sample.text) == reference_sample(network, tokenizer, before, 5, max_new_tokens=3)


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(final_logit_softcapping=1.5, attn_logit_softcapping=2.0, head_dim=8, sliding_window=128),
        GraniteConfig(logits_scaling=4.0),
    ],
    ids=["capped logits", "scaled logits"],
)
def test_families_that_change_their_logits_or_attention_answer_as_they_do_themselves(config):
    network = build_config_model(config)
    model = wrap_model(network)
    shared = shared_ids(model.tokenizer)
    [request] = start_requests(model.tokenizer)[1:2]
    expected = reference_start_log_probs(network, model.tokenizer, [*shared, *request.own_ids], request.text_ids)
    assert start_log_probs(model, shared, [request])[0] == pytest.approx(expected, abs=1e-4)
    assert model.window <= 512


def test_gpt_j_the_papers_model_shares_what_its_samples_begin_with(caplog):
    network = build_config_model(GPTJConfig(n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=512))
    assert_answers_are_those_of_brute_force(network)
    assert not caplog.records


@each_family
def test_by_the_formula_of_other_devices_too_answers_are_those_of_brute_force(family, monkeypatch, caplog):
    monkeypatch.setattr("toolformer_ray.lm.attention.kernels.KERNELS", {})
    assert_answers_are_those_of_brute_force(build_model(family))
    assert not caplog.records


NOT_SHARED = [
    BloomConfig(n_head=4),
    Gemma2Config(attn_logit_softcapping=2.0, head_dim=8),
    # Its convolutions would see across the borders of a packed row, and not every layer attends.
    Lfm2Config(num_hidden_layers=2, layer_types=["conv", "full_attention"]),
]


@pytest.mark.parametrize("config", NOT_SHARED, ids=lambda config: config.model_type)
def test_a_family_whose_attention_cannot_be_shared_is_read_whole_and_that_is_said_once(config, caplog):
    assert_answers_are_those_of_brute_force(build_config_model(config))
    [said] = [record.getMessage() for record in caplog.records if record.name == "toolformer_ray.lm.self_check"]
    assert f"({config.model_type}) cannot share what they begin with" in said


def test_outside_the_engine_a_model_answers_as_it_did_before():
    network = build_model("llama")
    padded = {"input_ids": torch.tensor([[1, 1, 5, 6], [7, 8, 9, 10]])}
    padded["attention_mask"] = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    before = network(**padded).logits[:, -1]
    wrap_model(network)
    assert network(**padded).logits[:, -1].detach() == pytest.approx(before.detach(), abs=1e-5)


def assert_answers_are_those_of_brute_force(network):
    untouched = copy.deepcopy(network)
    model = wrap_model(network)
    shared = shared_ids(model.tokenizer)
    [request] = sample_requests(model.tokenizer)[:1]
    before = [*shared, *request.own_ids]
    expected = reference_start_log_probs(untouched, model.tokenizer, before, request.text_ids)
    assert start_log_probs(model, shared, [request])[0] == pytest.approx(expected, abs=1e-4)
    [answer] = draw_samples(model, shared, [request], max_new_tokens=6)
    for place, samples in zip(request.places, answer, strict=True):
        ids = [*before, *request.text_ids[: place.token_index]]
        for key, sample in zip(place.keys, samples, strict=True):
            drawn = reference_sample(untouched, model.tokenizer, ids, key, max_new_tokens=6)
            assert (sample.ids, sample.text) == drawn


def test_shared_ids_alone_are_enough_before_a_text():
    model = build_language_model("llama")
    text_ids = model.tokenizer.encode(TEXTS[0])
    [answer] = start_log_probs(model, model.tokenizer.bos_ids, [Asked(own_ids=[], text_ids=text_ids)])
    expected = reference_start_log_probs(build_model("llama"), model.tokenizer, model.tokenizer.bos_ids, text_ids)
    assert answer == pytest.approx(expected, abs=1e-4)


def test_nothing_asked_is_nothing_answered():
    model = build_language_model("llama")
    bos = model.tokenizer.bos_ids
    assert (
        start_log_probs(model, bos, []) == model.log_probs([]) == draw_samples(model, bos, [], max_new_tokens=5) == []
    )
    assert start_log_probs(model, bos, [Asked(own_ids=[], text_ids=[])])[0].size == 0
    assert model.log_probs([ScoreRequest(ids=[0, 5], targets=[])])[0].size == 0
    asked = Asked(own_ids=[], text_ids=[5], places=[])
    assert draw_samples(model, bos, [asked], max_new_tokens=5) == [[]]


@each_family
def test_bfloat16_answers_lie_close_to_float32(family):
    model = build_language_model(family)
    coarse = LanguageModel(build_model(family).to(torch.bfloat16), model.tokenizer)
    requests = score_requests(model.tokenizer)
    exact = np.concatenate(model.log_probs(requests))
    rounded = np.concatenate(coarse.log_probs(requests))
    assert rounded.dtype == np.float32
    assert np.abs(exact - rounded).max() < 0.5
    assert np.abs(exact - rounded).mean() < 0.1
    samples = draw_samples(coarse, model.tokenizer.bos_ids, sample_requests(model.tokenizer)[:1], max_new_tokens=4)
    assert [len(place) for place in samples[0]] == [3, 3, 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_without_calls_the_start_marker_counts_only_where_the_text_has_it(family: str) -> None:
    model, network = build_language_model(family), build_model(family)
    ids = [*model.tokenizer.bos_ids, *model.tokenizer.encode("The mill [ground] 400 sacks")]
    markers = list(model.tokenizer.bracket_ids)
    assert set(markers) & set(ids)
    with torch.no_grad():
        probabilities = network(torch.tensor([ids])).logits[0].softmax(-1)
    expected = []
    for place, token in enumerate(ids[1:]):
        row = probabilities[place].tolist()
        allowed = sum(p for other, p in enumerate(row) if other not in markers or other == token)
        expected.append(math.log(row[token] / allowed))
    request = ScoreRequest(ids=ids, targets=range(1, len(ids)))
    [found] = model.log_probs([request], without_calls=True)
    assert found == pytest.approx(expected, abs=1e-4)
    likeliest = probabilities[-2].clone()
    likeliest[markers] = 0
    greedy = ScoreRequest(ids=[*ids[:-1], int(likeliest.argmax())], targets=[len(ids) - 1])
    assert model.are_greedy([greedy], without_calls=True) == [True]
    second = ScoreRequest(ids=[*ids[:-1], int(likeliest.topk(2).indices[1])], targets=[len(ids) - 1])
    assert model.are_greedy([second], without_calls=True) == [False]
    assert model.are_greedy([greedy]) == [int(probabilities[-2].argmax()) == greedy.ids[-1]]
