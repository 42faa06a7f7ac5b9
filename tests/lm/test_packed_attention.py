"""Sequences in one row without padding: each sees its own tokens only, and is kept in memory of its own."""

import pytest
import torch

from tests.support.models import FAMILIES, build_language_model
from toolformer_ray.lm.attention import packed
from toolformer_ray.lm.attention.packed import PackedTokens
from toolformer_ray.lm.attention.shared import attend


def test_a_model_that_sees_the_sequence_before_in_the_row_is_not_served(monkeypatch):
    def see_the_whole_row(query, keys, values, lengths, scale):
        keys, values = (part.repeat_interleave(query.shape[1] // keys.shape[1], dim=1) for part in (keys, values))
        return attend(query, keys, values, scale=scale, is_causal=True)

    monkeypatch.setattr(packed, "attend_in_turn", see_the_whole_row)
    assert not build_language_model()._network.is_served


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
