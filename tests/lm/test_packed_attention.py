"""Sequences in one row, by a kernel that takes them all at once: with a stand-in for the one of a GPU."""

from functools import partial
from itertools import accumulate

import pytest
import torch

import toolformer_ray.lm.network
from tests.support.models import FAMILIES, build_language_model, build_model, build_tokenizer
from toolformer_ray.lm.attention.device_attention import attend_plainly
from toolformer_ray.lm.attention.packed import (
    PROBE_LENGTHS,
    PackedAttention,
    PackedTokens,
    attend_in_turn,
    varlen_kernel,
)
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import ScoreRequest
from toolformer_ray.lm.tokenizer import TextTokenizer

LENGTHS = [3, 1, 5]
SCALE = 0.5


def random_row(dtype: torch.dtype = torch.bfloat16) -> list[torch.Tensor]:
    """Four query heads and two key heads."""
    torch.manual_seed(0)
    return [torch.randn(1, heads, sum(LENGTHS), 8).to(dtype) for heads in (4, 2, 2)]


def stand_in(query, keys, values, ends, longest, scale):
    """As PyTorch's kernel is called and answers; computed from the formula."""
    lengths = PROBE_LENGTHS if longest == max(PROBE_LENGTHS) else LENGTHS
    assert (ends.tolist(), ends.dtype) == ([0, *accumulate(lengths)], torch.int32)
    assert (len(query), longest) == (sum(lengths), max(lengths))
    assert query.shape[1:] == (4, 8) and keys.shape == values.shape == (len(query), 2, 8)
    return one_by_one(query, keys, values, ends, scale)


def one_by_one(query, keys, values, ends, scale):
    """Each sequence from the formula."""
    parts = []
    for first, end in zip(ends.tolist(), ends.tolist()[1:], strict=False):
        one = [part[first:end].transpose(0, 1)[None] for part in (query, keys, values)]
        one[1:] = [part.repeat_interleave(query.shape[1] // keys.shape[1], dim=1) for part in one[1:]]
        parts.append(attend_plainly(*one, scale=scale, is_causal=True))
    return torch.cat([out[0].transpose(0, 1) for out, _ in parts]), torch.cat([lse[0] for _, lse in parts], dim=1)


def test_one_launch_answers_for_each_sequence_alone():
    row = random_row()
    attention = PackedAttention(torch.device("cpu"), stand_in)
    for _ in range(2):
        found = attention.attend(*row, LENGTHS, SCALE)
        for one, other in zip(found, attend_in_turn(*row, LENGTHS, SCALE), strict=True):
            assert one.shape == other.shape and one.dtype == other.dtype
            assert one.float() == pytest.approx(other.float(), abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_cpu_takes_one_sequence_at_a_time(dtype, caplog):
    row = random_row(dtype)
    found = PackedAttention(torch.device("cpu")).attend(*row, LENGTHS, SCALE)
    for one, other in zip(found, attend_in_turn(*row, LENGTHS, SCALE), strict=True):
        assert torch.equal(one, other)
    assert not caplog.records


def test_float32_is_not_for_the_kernel():
    def fail(*args):
        raise AssertionError("asked")

    PackedAttention(torch.device("cpu"), fail).attend(*random_row(torch.float32), LENGTHS, SCALE)


def blind(*args):
    """Each sequence sees what stands before it in the row, too."""
    query, keys, values, _, _, scale = args
    keys, values = (part.repeat_interleave(query.shape[1] // keys.shape[1], dim=1) for part in (keys, values))
    out, lse = attend_plainly(*(part.transpose(0, 1)[None] for part in (query, keys, values)), scale=scale)
    return out[0].transpose(0, 1), lse[0]


def refuse(*args):
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.\nmore")


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(blind, "it answers differently"), (refuse, "FlashAttention only supports Ampere GPUs or newer.")],
    ids=["wrong", "refused"],
)
def test_a_kernel_that_fails_is_done_without_and_that_is_said_once(kernel, reason, caplog):
    row = random_row()
    attention = PackedAttention(torch.device("cpu"), kernel)
    for _ in range(3):
        assert torch.equal(attention.attend(*row, LENGTHS, SCALE)[0], attend_in_turn(*row, LENGTHS, SCALE)[0])
    [said] = [record.getMessage() for record in caplog.records]
    assert said.endswith(reason)


def backwards(query, keys, values, ends, longest, scale):
    """Sequences are kept apart, but each token sees those behind it."""
    turned = [part.flip(0) for part in (query, keys, values)]
    out, lse = one_by_one(*turned, ends[-1] - ends.flip(0), scale)
    return out.flip(0), lse.flip(1)


@pytest.mark.parametrize("kernel", [blind, backwards])
def test_a_row_of_one_sequence_is_no_proof_of_a_kernel(kernel, caplog):
    row = [part[:, :, :1] for part in random_row()]
    attention = PackedAttention(torch.device("cpu"), kernel)
    attention.attend(*row, [1], SCALE)
    found, _ = attention.attend(*random_row(), LENGTHS, SCALE)
    assert torch.equal(found, attend_in_turn(*random_row(), LENGTHS, SCALE)[0])
    assert len(caplog.records) == 1


def test_a_kernel_is_tried_once_and_again_for_other_heads():
    launched = []

    def watched(query, keys, values, ends, longest, scale):
        launched.append((query.shape[1], longest))
        return one_by_one(query, keys, values, ends, scale)

    attention = PackedAttention(torch.device("cpu"), watched)
    query, keys, values = random_row()
    for heads in (4, 4, 2):
        attention.attend(query[:, :heads], keys, values, LENGTHS, SCALE)
    assert launched == [(4, 200), (4, 5), (4, 5), (2, 200), (2, 5)]


def coarse_model() -> LanguageModel:
    return LanguageModel(build_model("llama").bfloat16(), TextTokenizer(build_tokenizer(), name="coarse"))


def test_a_model_whose_kernel_is_blind_answers_as_without_it(monkeypatch, caplog):
    request = ScoreRequest(ids=range(40, 0, -1), targets=[20, 30, 39])
    expected = coarse_model().log_probs([request] * 2)
    monkeypatch.setattr(toolformer_ray.lm.network, "PackedAttention", partial(PackedAttention, kernel=blind))
    model = coarse_model()
    assert model._network.is_served
    for found, other in zip(model.log_probs([request] * 2), expected, strict=True):
        assert found == pytest.approx(other, abs=1e-6)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["it answers differently"]


def test_a_model_that_sees_too_much_is_not_served_even_if_its_kernel_passed(monkeypatch):
    monkeypatch.setattr(toolformer_ray.lm.network, "PackedAttention", partial(PackedAttention, kernel=blind))
    monkeypatch.setattr("toolformer_ray.lm.attention.packed.agree", lambda found, expected: True)
    assert not coarse_model()._network.is_served


def test_pytorchs_kernel_takes_what_it_is_given():
    """Its signature is bound, and its shapes are looked up in its own fake."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        query, keys, values = (torch.empty(9, heads, 8, dtype=torch.bfloat16) for heads in (4, 2, 2))
        ends = torch.empty(4, dtype=torch.int32)
        out, lse = varlen_kernel(query, keys, values, ends, 5, SCALE)
    assert out.shape == (9, 4, 8) and lse.shape == (4, 9)


@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_of_a_sequence_holds_no_memory_of_its_batch(family):
    network = build_language_model(family)._network
    sequences = [[5, 6, 7], [8], [9, 10]]
    own = PackedTokens([3, 1, 2], keep=True)
    network.read_packed(sequences, [], own)
    for segment, sequence in zip(own.segments(), sequences, strict=True):
        alone = PackedTokens([len(sequence)], keep=True)
        network.read_packed([sequence], [], alone)
        for layer, expected in zip(segment.layers, alone.layers, strict=True):
            for part, other in zip(layer, expected, strict=True):
                assert part.untyped_storage().nbytes() == part.nbytes
                assert part == pytest.approx(other[:, : len(sequence)], abs=1e-5)
