"""The engine's three answers against brute force: every family, every batch shape."""

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, GraniteConfig, MistralConfig

from lm.model import LanguageModel
from lm.requests import Place, SampleRequest, ScoreRequest, StartRequest
from lm.tokenizer import TextTokenizer
from tests.models import FAMILIES, build_config_model, build_model, build_tokenizer, gpt2_tokenizer
from tests.reference import reference_log_probs, reference_sample, reference_start_log_probs

DEMONSTRATIONS = 'Add a call.\n\nInput: The bridge\nOutput: The bridge [QA("Who?")]\n\nInput: '
TEXTS = ["The mill ground 400 sacks, 120 more than in May.", "Smile 😀!", "The town lies on the river. " * 4]

each_family = pytest.mark.parametrize("family", FAMILIES)


def language_model(family: str, token_budget: int = 4096) -> LanguageModel:
    tokenizer = TextTokenizer(build_tokenizer(), name=f"random {family}")
    return LanguageModel(build_model(family), tokenizer, token_budget=token_budget)


def shared_ids(tokenizer: TextTokenizer) -> list[int]:
    return [*tokenizer.bos_ids, *tokenizer.encode(DEMONSTRATIONS)]


def start_requests(tokenizer: TextTokenizer) -> list[StartRequest]:
    return [
        StartRequest(own_ids=tokenizer.encode(text + "\nOutput: "), text_ids=tokenizer.encode(text)) for text in TEXTS
    ]


def sample_requests(tokenizer: TextTokenizer) -> list[SampleRequest]:
    """Places at the start, in the middle and at the end of each text, three samples each."""
    return [
        SampleRequest(
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


@pytest.mark.paper("C4")
@each_family
def test_start_log_probs_are_those_of_brute_force(family):
    model = language_model(family)
    shared = shared_ids(model.tokenizer)
    requests = start_requests(model.tokenizer)
    for request, answer in zip(requests, model.start_log_probs(shared, requests), strict=True):
        before = [*shared, *request.own_ids]
        expected = reference_start_log_probs(build_model(family), model.tokenizer, before, request.text_ids)
        assert answer == pytest.approx(expected, abs=1e-4)
        assert answer.dtype == np.float32
        assert model.start_log_probs_alone(shared, request) == pytest.approx(expected, abs=1e-4)


@each_family
def test_log_probs_are_those_of_brute_force(family):
    model = language_model(family)
    requests = score_requests(model.tokenizer)
    for request, answer in zip(requests, model.log_probs(requests), strict=True):
        expected = np.array(reference_log_probs(build_model(family), request.ids))[request.targets]
        assert answer == pytest.approx(expected, abs=1e-4)
        assert model.log_probs_alone(request) == pytest.approx(expected, abs=1e-4)


@pytest.mark.paper("C7")
@each_family
def test_samples_are_those_of_brute_force(family):
    model = language_model(family)
    shared = shared_ids(model.tokenizer)
    requests = sample_requests(model.tokenizer)[:2]
    for request, places in zip(requests, model.sample(shared, requests, max_new_tokens=8), strict=True):
        for place, samples in zip(request.places, places, strict=True):
            before = [*shared, *request.own_ids, *request.text_ids[: place.token_index]]
            for key, sample in zip(place.keys, samples, strict=True):
                expected = reference_sample(build_model(family), model.tokenizer, before, key, max_new_tokens=8)
                assert (sample.ids, sample.text) == expected


@each_family
def test_samples_that_end_at_different_steps_are_those_of_brute_force(family):
    model = language_model(family)
    tokenizer = model.tokenizer
    # Every fifth token ends a sample, so that samples leave at every step and the cache forgets them.
    tokenizer.end_marker_ids = frozenset(range(1, 400, 5))
    network, shared = build_model(family), shared_ids(tokenizer)
    text_ids = tokenizer.encode(TEXTS[0])
    places = [Place(token_index=i, keys=range(10 * i, 10 * i + 10)) for i in (1, 4)]
    [answer] = model.sample(shared, [SampleRequest(own_ids=[], text_ids=text_ids, places=places)], max_new_tokens=12)
    assert len({len(sample.ids) for samples in answer for sample in samples}) > 4
    for place, samples in zip(places, answer, strict=True):
        for key, sample in zip(place.keys, samples, strict=True):
            before = [*shared, *text_ids[: place.token_index]]
            assert sample.ids == reference_sample(network, tokenizer, before, key, max_new_tokens=12)[0]


@each_family
def test_answers_do_not_depend_on_the_batch(family):
    one_by_one, together = language_model(family, token_budget=1), language_model(family)
    tokenizer = together.tokenizer
    shared = shared_ids(tokenizer)
    for alone, batched in zip(
        one_by_one.start_log_probs(shared, start_requests(tokenizer)),
        together.start_log_probs(shared, start_requests(tokenizer)),
        strict=True,
    ):
        assert alone == pytest.approx(batched, abs=1e-5)
    for alone, batched in zip(
        one_by_one.log_probs(score_requests(tokenizer)), together.log_probs(score_requests(tokenizer)), strict=True
    ):
        assert alone == pytest.approx(batched, abs=1e-5)
    requests = sample_requests(tokenizer)
    samples = together.sample(shared, requests, max_new_tokens=12)
    assert one_by_one.sample(shared, requests, max_new_tokens=12) == samples
    assert together.sample(shared, requests[::-1], max_new_tokens=12) == samples[::-1]


def test_answers_are_those_of_brute_force_with_the_tokenizer_of_gpt2():
    tokenizer, network = gpt2_tokenizer(), build_model("gpt2", vocabulary_size=50257)
    model = LanguageModel(network, tokenizer)
    shared = shared_ids(tokenizer)
    [request] = start_requests(tokenizer)[1:2]
    expected = reference_start_log_probs(network, tokenizer, [*shared, *request.own_ids], request.text_ids)
    assert model.start_log_probs(shared, [request])[0] == pytest.approx(expected, abs=1e-4)
    asked = SampleRequest(own_ids=[], text_ids=request.text_ids, places=[Place(token_index=1, keys=[5])])
    [[[sample]]] = model.sample(shared, [asked], max_new_tokens=3)
    before = [*shared, request.text_ids[0]]
    assert (sample.ids, sample.text) == reference_sample(network, tokenizer, before, 5, max_new_tokens=3)


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(final_logit_softcapping=1.5, attn_logit_softcapping=2.0, head_dim=8, sliding_window=128),
        GraniteConfig(logits_scaling=4.0),
        MistralConfig(sliding_window=128),
    ],
    ids=["capped logits", "scaled logits", "sliding window"],
)
def test_families_that_change_their_logits_or_attention_answer_as_they_do_themselves(config):
    network = build_config_model(config)
    model = LanguageModel(network, TextTokenizer(build_tokenizer(), name="other"))
    shared = shared_ids(model.tokenizer)
    [request] = start_requests(model.tokenizer)[1:2]
    expected = reference_start_log_probs(network, model.tokenizer, [*shared, *request.own_ids], request.text_ids)
    assert model.start_log_probs(shared, [request])[0] == pytest.approx(expected, abs=1e-4)
    assert model.window <= 512


def test_shared_ids_alone_are_enough_before_a_text():
    model = language_model("llama")
    text_ids = model.tokenizer.encode(TEXTS[0])
    [answer] = model.start_log_probs(model.tokenizer.bos_ids, [StartRequest(own_ids=[], text_ids=text_ids)])
    expected = reference_start_log_probs(build_model("llama"), model.tokenizer, model.tokenizer.bos_ids, text_ids)
    assert answer == pytest.approx(expected, abs=1e-4)


def test_nothing_asked_is_nothing_answered():
    model = language_model("llama")
    bos = model.tokenizer.bos_ids
    assert model.start_log_probs(bos, []) == model.log_probs([]) == model.sample(bos, [], max_new_tokens=5) == []
    assert model.start_log_probs(bos, [StartRequest(own_ids=[], text_ids=[])])[0].size == 0
    assert model.log_probs([ScoreRequest(ids=[0, 5], targets=[])])[0].size == 0
    asked = SampleRequest(own_ids=[], text_ids=[5], places=[])
    assert model.sample(bos, [asked], max_new_tokens=5) == [[]]


@each_family
def test_bfloat16_answers_lie_close_to_float32(family):
    model = language_model(family)
    coarse = LanguageModel(build_model(family).to(torch.bfloat16), model.tokenizer)
    requests = score_requests(model.tokenizer)
    exact = np.concatenate(model.log_probs(requests))
    rounded = np.concatenate(coarse.log_probs(requests))
    assert rounded.dtype == np.float32
    assert np.abs(exact - rounded).max() < 0.5
    assert np.abs(exact - rounded).mean() < 0.1
    samples = coarse.sample(model.tokenizer.bos_ids, sample_requests(model.tokenizer)[:1], max_new_tokens=4)
    assert [len(place) for place in samples[0]] == [3, 3, 3]
