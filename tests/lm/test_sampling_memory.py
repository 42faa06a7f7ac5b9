"""Slots and prompts share one memory: what gives way when it runs out, and what comes back."""

import weakref

import torch
from transformers import BloomConfig

import toolformer_ray.lm.batching
from tests.support.asking import Asked, draw_samples
from tests.support.models import build_config_model, build_language_model, wrap_model
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Place
from toolformer_ray.lm.writing.prompts import PromptReader
from toolformer_ray.lm.writing.sequences import TOKENS_PER_SLOT, CachedSequences


def samples(model: LanguageModel, *, num_prompts: int, num_keys: int, num_own: int = 20):
    """Of prompts of three tokens and their own, at one place each; the last prompt has none."""
    asked = [
        Asked(own_ids=[5] * num_own, text_ids=[6, 7, 8 + n], places=[Place(token_index=1, keys=range(num_keys))])
        for n in range(num_prompts)
    ]
    return draw_samples(model, [0, 1], [*asked, Asked(own_ids=[5] * 4, text_ids=[9])], max_new_tokens=6)


def test_samples_that_do_not_fit_are_written_in_fewer_slots(monkeypatch):
    expected = samples(build_language_model(), num_prompts=1, num_keys=40)
    model, sizes = build_language_model(token_budget=32 * TOKENS_PER_SLOT), []
    enter, write, logits = CachedSequences.enter, CachedSequences.write, Network.logits

    def enter_eight(self, sequence):
        if (number := enter(self, sequence)) == 8:
            raise torch.OutOfMemoryError("keys and values of eight fit")
        return number

    def watched_write(self, ids):
        sizes.append(len(ids))
        return write(self, ids)

    def few_logits(self, hidden):
        if sizes and len(hidden) > 4:
            raise torch.OutOfMemoryError("logits of four fit")
        return logits(self, hidden)

    monkeypatch.setattr(CachedSequences, "enter", enter_eight)
    monkeypatch.setattr(CachedSequences, "write", watched_write)
    monkeypatch.setattr(Network, "logits", few_logits)
    assert samples(model, num_prompts=1, num_keys=40) == expected
    # Slots are halved, from 32, until eight have room, and once more until their logits have.
    assert 4 < sizes[0] <= 8 and max(sizes[1:]) == 4
    assert model._budget.tokens == 4 * TOKENS_PER_SLOT


def test_prompts_that_do_not_fit_beside_full_slots_empty_the_slots(monkeypatch):
    expected = samples(build_language_model(), num_prompts=40, num_keys=7)
    model = build_language_model(token_budget=16 * TOKENS_PER_SLOT)
    alive, most, (enter, read) = weakref.WeakSet(), [], (CachedSequences.enter, PromptReader.read)

    def watched_enter(self, sequence):
        alive.add(self)
        return enter(self, sequence)

    def read_beside_ten_sequences(self, prompts):
        most.append(sum(len(sequences._slots) for sequences in alive))
        if most[-1] > 10:
            raise torch.OutOfMemoryError("only ten sequences leave room for a prompt")
        return read(self, prompts)

    monkeypatch.setattr(CachedSequences, "enter", watched_enter)
    monkeypatch.setattr(PromptReader, "read", read_beside_ten_sequences)
    assert samples(model, num_prompts=40, num_keys=7) == expected
    # Of sixteen slots some were free; with eight, ten are never taken. The budget was halved once and not to nothing.
    assert [number for number in most if number > 10] == [most[1]]
    assert most[2] == 0, "what was being written gives way to the prompt"
    assert model._budget.tokens == 8 * TOKENS_PER_SLOT


def test_slots_are_as_many_as_before_once_the_budget_has_grown_again(monkeypatch):
    expected = samples(build_language_model(), num_prompts=120, num_keys=3)
    monkeypatch.setattr(toolformer_ray.lm.batching, "BATCHES_UNTIL_GROWTH", 1)
    model, sizes, write = build_language_model(token_budget=32 * TOKENS_PER_SLOT), [], CachedSequences.write

    def watched_write(self, ids):
        sizes.append(len(ids))
        if len(sizes) == 1:
            raise torch.OutOfMemoryError("does not fit this once")
        return write(self, ids)

    monkeypatch.setattr(CachedSequences, "write", watched_write)
    assert samples(model, num_prompts=120, num_keys=3) == expected
    assert sizes[:2] == [32, 16]
    assert max(sizes[2:]) == 32


def test_what_loses_its_slots_while_the_last_prompt_is_read_is_still_written(monkeypatch):
    expected = samples(build_language_model(), num_prompts=4, num_keys=7)
    # Prompts of 23 tokens two at a time, then the one without places while the last of 28 samples is in a slot.
    model, read, num_lasts = build_language_model(token_budget=48), PromptReader.read, [0]

    def once_not_the_last(self, prompts):
        num_lasts[0] += len(prompts[0].text_ids) == 1
        if len(prompts[0].text_ids) == 1 and num_lasts[0] == 1:
            raise torch.OutOfMemoryError("does not fit this once")
        return read(self, prompts)

    monkeypatch.setattr(PromptReader, "read", once_not_the_last)
    assert samples(model, num_prompts=4, num_keys=7) == expected
    assert num_lasts == [2]


def test_sequences_that_are_read_whole_go_on_where_they_were_when_a_batch_does_not_fit(monkeypatch):
    monkeypatch.setattr(toolformer_ray.lm.batching, "BATCHES_UNTIL_GROWTH", 1)
    network = build_config_model(BloomConfig(n_head=4))
    model = wrap_model(network, token_budget=1600)
    expected, num_passes = samples(model, num_prompts=5, num_keys=4, num_own=100), [0]

    def refuse_many_tokens(module, args, kwargs):
        num_passes[0] += 1
        # Were it begun anew whenever the budget has grown too far, it would never come to its end.
        assert num_passes[0] < 200
        if kwargs["input_ids"].numel() > 350:
            raise torch.OutOfMemoryError("more than 350 tokens do not fit")

    network.base_model.register_forward_pre_hook(refuse_many_tokens, with_kwargs=True)
    assert samples(model, num_prompts=5, num_keys=4, num_own=100) == expected
