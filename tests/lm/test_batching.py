import pytest
import torch
from transformers import BloomConfig

import toolformer_ray.lm.network
from tests.support.asking import Asked, draw_samples, start_log_probs
from tests.support.models import (
    build_config_model,
    build_language_model,
    build_model,
    build_tokenizer,
    save_model,
    wrap_model,
)
from toolformer_ray.lm.batching import BATCHES_UNTIL_GROWTH, TokenBudget
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Place, ScoreRequest
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.prompts import MAX_PREFIXES, PromptReader


def test_batches_are_the_longest_first_within_the_budget_and_answers_keep_their_order():
    batches = []

    def answer(batch):
        batches.append(batch)
        return [f"answer {index}" for index in batch]

    # Lengths 3 9 4 3 in a budget of 10: the 9 alone; 4, 3 and 3 make 10.
    answers = TokenBudget(10).run([3, 9, 4, 3], answer)
    assert batches == [[1], [2, 0, 3]]
    assert answers == ["answer 0", "answer 1", "answer 2", "answer 3"]


def test_out_of_memory_halves_the_budget_and_the_answers_still_come():
    budget = TokenBudget(16)

    def answer(batch):
        if len(batch) > 2:
            raise torch.OutOfMemoryError("three do not fit")
        return batch

    # 16 tokens are four sequences of 4, which do not fit; 8 are two, which do.
    assert budget.run([4, 4, 4, 4], answer) == [0, 1, 2, 3]
    assert budget.tokens == 8


def test_a_halved_budget_grows_back_slowly_and_never_beyond_what_was_asked():
    budget = TokenBudget(16)
    fits = [True]

    def answer(batch):
        if not fits[0]:
            fits[0] = True
            raise torch.OutOfMemoryError("once")
        return batch

    fits[0] = False
    budget.run([4] * 4, answer)
    assert budget.tokens == 8
    seen = []
    for _ in range(4 * BATCHES_UNTIL_GROWTH):
        budget.run([1], answer)
        budget.run([4, 4], answer)
        seen.append(budget.tokens)
    # A quarter more each time, rounded down: 8, 10, 12, 15, 16.
    assert sorted(set(seen)) == [8, 10, 12, 15, 16]
    assert seen.count(10) == seen.count(12) == seen.count(15) == BATCHES_UNTIL_GROWTH


def test_out_of_memory_with_nothing_left_to_halve_is_not_hidden():
    def answer(batch):
        raise torch.OutOfMemoryError("nothing fits")

    with pytest.raises(torch.OutOfMemoryError):
        TokenBudget(16).run([4], answer)


def test_a_model_that_runs_out_of_memory_goes_on_in_smaller_batches_with_equal_answers():
    network = build_model("llama")
    model = wrap_model(network)
    starts = [Asked(own_ids=[5] * n, text_ids=[6, 7, 8]) for n in (1, 4, 9)]
    scores = [ScoreRequest(ids=[0, *[5] * n], targets=[n]) for n in (3, 6, 9)]
    samples = [Asked(own_ids=[5], text_ids=[6, 7], places=[Place(token_index=1, keys=range(9))])] * 3
    expected = [
        start_log_probs(model, [0], starts),
        model.log_probs(scores),
        draw_samples(model, [0], samples, max_new_tokens=5),
    ]

    def refuse_many_tokens(module, args, kwargs):
        if kwargs["input_ids"].numel() > 12:
            raise torch.OutOfMemoryError("more than 12 tokens do not fit")

    small = wrap_model(network)
    network.base_model.register_forward_pre_hook(refuse_many_tokens, with_kwargs=True)
    for found, value in zip(start_log_probs(small, [0], starts), expected[0], strict=True):
        assert found == pytest.approx(value, abs=1e-5)
    for found, value in zip(small.log_probs(scores), expected[1], strict=True):
        assert found == pytest.approx(value, abs=1e-5)
    assert draw_samples(small, [0], samples, max_new_tokens=5) == expected[2]


def test_a_model_that_reads_sequences_whole_keeps_to_the_budget_while_it_samples():
    network = build_config_model(BloomConfig(n_head=4))
    model = wrap_model(network, token_budget=200)
    sizes = []
    network.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    asked = [Asked(own_ids=[5] * 60, text_ids=[6, 7], places=[Place(token_index=1, keys=range(12))])]
    draw_samples(model, [0], asked, max_new_tokens=5)
    assert 100 < max(sizes) <= 200


def test_rows_go_through_the_head_in_chunks(monkeypatch):
    request = ScoreRequest(ids=list(range(20)), targets=range(1, 20))
    start = Asked(own_ids=[], text_ids=list(range(20)))
    model = build_language_model()
    whole = [model.log_probs([request])[0], start_log_probs(model, [0], [start])[0]]
    monkeypatch.setattr(toolformer_ray.lm.network, "HEAD_NUMBERS", 3 * model._network.vocabulary_size)
    assert model.log_probs([request])[0] == pytest.approx(whole[0], abs=1e-6)
    assert start_log_probs(model, [0], [start])[0] == pytest.approx(whole[1], abs=1e-6)


def test_shared_ids_are_read_once_for_many_batches():
    network = build_model("llama")
    model = wrap_model(network, token_budget=1)
    lengths = []
    network.base_model.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    shared = [0, *range(1, 100)]
    for _ in range(2):
        start_log_probs(model, shared, [Asked(own_ids=[5], text_ids=[6, 7])] * 3)
    # The 99 first ids of 100 once; then 1 shared + 1 own + 2 of the text - 1, in 2 x 3 batches of one.
    assert lengths == [99, *[3] * 6]


def test_the_prefix_used_longest_ago_is_forgotten_first():
    network, tokenizer = Network(build_model("llama")), TextTokenizer(build_tokenizer(), name="prefixes")
    network.enable_kv_cache()
    reader = PromptReader(network, tokenizer)
    first = reader.prefix([1, 2])
    for token in range(3, 2 + MAX_PREFIXES):
        reader.prefix([token])
    assert reader.prefix([1, 2]) is first
    second = reader.prefix([3])
    reader.prefix([99])
    reader.prefix([98])
    assert reader.prefix([1, 2]) is first
    assert reader.prefix([3]) is second


def test_the_fingerprint_is_of_the_content_not_the_path(tmp_path):
    here, there = save_model(tmp_path / "here"), save_model(tmp_path / "there")
    other = save_model(tmp_path / "other", "qwen2")
    fingerprints = [LanguageModel.load(path).fingerprint for path in (here, there, other)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    (tmp_path / "here" / "README.md").write_text("other words")
    assert LanguageModel.load(here).fingerprint == fingerprints[0]


def test_a_model_in_memory_has_a_fingerprint_of_its_weights():
    assert build_language_model().fingerprint == build_language_model().fingerprint
    assert build_language_model().fingerprint != build_language_model("qwen2").fingerprint
    coarse = wrap_model(build_model("llama").bfloat16())
    assert coarse.fingerprint != build_language_model().fingerprint
