import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch

import toolformer_ray.lm.writing.noise
from tests.support.asking import Asked, draw_samples
from tests.support.models import FAMILIES, build_language_model
from toolformer_ray.lm.requests import Place
from toolformer_ray.lm.writing.noise import STEPS_AT_ONCE, Noise, block_shape, draw


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 400, 50257])
def test_blocks_cover_the_vocabulary_and_none_is_empty(size):
    num_blocks, block_size = block_shape(size)
    assert (num_blocks - 1) * block_size < size <= num_blocks * block_size


def test_choices_follow_the_distribution():
    # Ten entries: probabilities 0.30, 0.20, 0.15, ... in three blocks of four, four and two.
    probabilities = torch.tensor([0.30, 0.20, 0.15, 0.10, 0.08, 0.06, 0.05, 0.03, 0.02, 0.01])
    num_draws = 20_000
    noise = [Noise(key, 10).step() for key in range(num_draws)]
    tokens, _ = draw(probabilities.log().expand(num_draws, -1), noise)
    counts = Counter(tokens)
    for token, probability in enumerate(probabilities.tolist()):
        deviation = math.sqrt(probability * (1 - probability) / num_draws)
        assert counts[token] / num_draws == pytest.approx(probability, abs=4 * deviation)


def test_a_low_temperature_takes_the_likeliest():
    logits_RV = torch.tensor([[0.0, 1.0, 3.0, 2.0, 0.5]]).expand(200, -1)
    tokens, _ = draw(logits_RV / 0.01, [Noise(key, 5).step() for key in range(200)])
    assert set(tokens) == {2}


def test_a_step_depends_on_the_key_and_the_step_alone():
    first, again, other = Noise(7, 100), Noise(7, 100), Noise(8, 100)
    steps = [first.step() for _ in range(3)]
    assert np.array_equal(steps[2], [again.step() for _ in range(3)][2])
    assert not np.array_equal(steps[0], steps[1])
    assert not np.array_equal(steps[0], other.step())


@pytest.mark.parametrize("size", [2, 400, 50257])
def test_the_numbers_of_a_step_are_those_that_steps_made_one_by_one_have(size):
    generator, noise = np.random.Generator(np.random.Philox(key=7 << 80)), Noise(7 << 80, size)
    for _ in range(2 * STEPS_AT_ONCE + 1):
        uniform = generator.random(sum(block_shape(size)))
        assert np.array_equal(noise.step(), -np.log(-np.log(uniform)))


def test_a_sample_that_waits_behind_its_first_token_keeps_no_numbers():
    # Of a million entries a step takes 2,000 numbers, 16 kB.
    tracemalloc.start()
    waiting = [Noise(key, 1_000_000) for key in range(50)]
    for noise in waiting:
        noise.step()
    num_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert num_bytes < 50 * 16_000 / 2


def test_keys_of_more_than_64_bits_differ_in_every_bit():
    draws = {Noise(1 << bit, 16).step().tobytes() for bit in range(128)}
    assert len(draws) == 128


def test_only_a_close_choice_is_called_close():
    # One row decides by 1.0, the other by 1e-5; no noise. Four entries are two blocks of two.
    clear, close = [5.0, 4.0, -9.0, -9.0], [5.0, 5.0 - 1e-5, -9.0, -9.0]
    tokens, is_close = draw(torch.tensor([clear, close]), [np.zeros(4)] * 2)
    assert tokens == [0, 0]
    assert is_close == [False, True]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_close_choice_is_made_on_the_whole_sequence_and_falls_the_same(family, monkeypatch):
    model = build_language_model(family)
    text_ids = model.tokenizer.encode("The mill ground 400 sacks.")
    places = [Place(token_index=2, keys=[1, 2]), Place(token_index=5, keys=[3])]
    request = Asked(own_ids=[9, 10], text_ids=text_ids, places=places)
    usual = draw_samples(model, [0, 5, 6], [request], max_new_tokens=6)
    monkeypatch.setattr(toolformer_ray.lm.writing.noise, "TIE_MARGIN", math.inf)
    assert draw_samples(model, [0, 5, 6], [request], max_new_tokens=6) == usual


def test_different_keys_at_a_place_give_different_samples():
    model = build_language_model()
    request = Asked(own_ids=[], text_ids=[7, 8], places=[Place(token_index=1, keys=range(20))])
    [[samples]] = draw_samples(model, [0], [request], max_new_tokens=4)
    assert len({sample.ids for sample in samples}) > 10
