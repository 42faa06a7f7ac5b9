"""Attention over parts against attention over everything, the kernel against the formula, and what tokens may see."""

import pytest
import torch

from tests.support.models import FAMILIES, build_language_model
from toolformer_ray.lm.attention.cache import Segment
from toolformer_ray.lm.attention.kernels import KERNELS, attend, attend_by_formula, attend_causally, merge
from toolformer_ray.lm.attention.layer import Layer
from toolformer_ray.lm.attention.visibility import PackedTokens, SegmentGroup

SCALE = 0.5


def random_parts(*lengths: int) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Queries of two sequences with three heads, and keys and values of some parts."""
    torch.manual_seed(0)
    query = torch.randn(2, 3, 4, 8)
    return query, [(torch.randn(2, 3, length, 8), torch.randn(2, 3, length, 8)) for length in lengths]


def test_two_keys_by_hand():
    query, keys = torch.ones(1, 1, 1, 1), torch.tensor([0.0, 1.0986]).view(1, 1, 2, 1)
    out, lse = attend(query, keys, torch.tensor([0.0, 4.0]).view(1, 1, 2, 1), scale=1.0)
    # The scores are 0 and ln 3: weights 1/4 and 3/4, and together ln 4.
    assert out.item() == pytest.approx(3.0, abs=1e-3)
    assert lse.item() == pytest.approx(1.3863, abs=1e-3)


def test_merged_parts_are_attention_over_all_of_them():
    query, parts = random_parts(5, 1, 9)
    keys, values = (torch.cat(side, dim=2) for side in zip(*parts, strict=True))
    whole, _ = attend(query, keys, values, scale=SCALE)
    merged = merge([attend(query, k, v, scale=SCALE) for k, v in parts])
    assert merged == pytest.approx(whole, abs=1e-6)


def test_a_part_that_a_sequence_does_not_see_has_no_weight():
    query, [(keys, values)] = random_parts(4)
    seen = attend(query, keys, values, scale=SCALE)
    unseen = torch.full_like(seen[0], 7.0), torch.full_like(seen[1], -torch.inf)
    assert merge([seen, unseen]) == pytest.approx(seen[0], abs=1e-6)


def causal(length: int, window: int | None = None) -> torch.Tensor:
    """Who sees whom, (L, L): each itself and those before it, `window` of them in all."""
    visible = torch.ones(length, length, dtype=torch.bool).tril()
    return visible if window is None else visible.triu(1 - window)


@pytest.mark.parametrize("is_causal", [True, False])
def test_the_kernel_and_the_formula_agree(is_causal):
    query, [(keys, values)] = random_parts(4)
    visible = causal(4) if is_causal else torch.tensor([[True, False, True, True], [False] * 4] * 2)
    found = (
        attend_causally(query, keys, values, layer=Layer(0, SCALE))
        if is_causal
        else attend(query, keys, values, scale=SCALE, visible=visible)
    )
    for kernel, formula in zip(
        found, attend_by_formula(query, keys, values, scale=SCALE, visible=visible), strict=True
    ):
        assert kernel == pytest.approx(formula, abs=1e-5)


def test_a_group_sees_its_segment_up_to_each_ones_length():
    query, [(keys, values)] = random_parts(6)
    # Two query heads for one key head, as in grouped-query attention.
    query, segment = query[:, :2], Segment([(keys[0, :1], values[0, :1])])
    out, _ = SegmentGroup(segment, [0, 1], [2, 5], [2, 5], 2).attend(Layer(0, SCALE), query, None)
    for row, length in ((0, 2), (1, 5)):
        for head in (0, 1):
            alone, _ = attend_by_formula(
                query[row : row + 1, head : head + 1],
                keys[:1, :1, :length],
                values[:1, :1, :length],
                scale=SCALE,
            )
            assert out[row, head] == pytest.approx(alone[0, 0], abs=1e-6)


@pytest.mark.parametrize("window", [None, 1, 100, 200])
@pytest.mark.parametrize("length", [5, 224, 300, 575])
def test_causal_attention_is_the_formula(length, window):
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, 3, length, 8) for _ in range(3))
    found = attend_causally(query, keys, values, layer=Layer(0, SCALE, window))
    expected = attend_by_formula(query, keys, values, scale=SCALE, visible=causal(length, window))
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_block_of_queries_meets_no_key_that_none_of_it_sees(monkeypatch):
    kernel, sizes = KERNELS["cpu"], []

    def watched(query, keys, *rest, **options):
        sizes.append((query.shape[2], keys.shape[2]))
        return kernel(query, keys, *rest, **options)

    monkeypatch.setitem(KERNELS, "cpu", watched)
    query = torch.randn(1, 1, 300, 8)
    attend_causally(query, query, query, layer=Layer(0, SCALE))
    assert sizes == [(128, 128), (128, 256), (44, 300)]
    sizes.clear()
    attend_causally(query, query, query, layer=Layer(0, SCALE, 10))
    assert sizes == [(128, 128), (128, 137), (44, 53)]


def test_in_blocks_too_a_sequence_is_answered_alone():
    torch.manual_seed(0)
    query, keys, values = (torch.randn(4, 3, 300, 8) for _ in range(3))
    together = attend_causally(query, keys, values, layer=Layer(0, SCALE))
    alone = attend_causally(query[2:3], keys[2:3], values[2:3], layer=Layer(0, SCALE))
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one[2:3], other)


def test_a_model_that_sees_the_sequence_before_in_its_row_gets_no_kv_cache(monkeypatch):
    attend_rightly = PackedTokens.attend

    def see_the_whole_row(self, layer, query, keys, values):
        attend_rightly(self, layer, query, keys, values)
        repeats = query.shape[1] // keys.shape[1]
        keys, values = (part.repeat_interleave(repeats, dim=1) for part in (keys, values))
        return attend_causally(query, keys, values, layer=layer)

    monkeypatch.setattr(PackedTokens, "attend", see_the_whole_row)
    assert not build_language_model()._network.has_kv_cache


@torch.inference_mode()
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_kept_of_a_sequence_holds_no_memory_of_its_batch(family):
    network = build_language_model(family)._network
    sequences = [[5, 6, 7], [8], [9, 10]]
    for segment, sequence in zip(network.prefill(sequences)[1], sequences, strict=True):
        [alone] = network.prefill([sequence])[1]
        for layer, expected in zip(segment.layers, alone.layers, strict=True):
            for part, other in zip(layer, expected, strict=True):
                assert part.untyped_storage().nbytes() == part.nbytes
                assert part == pytest.approx(other, abs=1e-5)
