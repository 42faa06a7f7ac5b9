"""Attention in parts against attention over everything, and the kernel against the formula."""

import pytest
import torch

from toolformer_ray.lm.attention.device_attention import UnmaskedAttention, attend_plainly, flash_kernel
from toolformer_ray.lm.attention.shared import Group, Segment, attend, merge

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


@pytest.mark.parametrize("is_causal", [True, False])
def test_the_kernel_and_the_formula_agree(is_causal):
    query, [(keys, values)] = random_parts(4)
    visible = None if is_causal else torch.tensor([[True, False, True, True]] * 4)
    for kernel, formula in zip(
        attend(query, keys, values, scale=SCALE, is_causal=is_causal, visible=visible),
        attend_plainly(query, keys, values, scale=SCALE, is_causal=is_causal, visible=visible),
        strict=True,
    ):
        assert kernel == pytest.approx(formula, abs=1e-5)


def test_a_group_sees_its_segment_up_to_each_ones_length():
    query, [(keys, values)] = random_parts(6)
    # Two query heads for one key head, as in grouped-query attention.
    query, segment = query[:, :2], Segment([(keys[0, :1], values[0, :1])])
    out, _ = Group(segment, [0, 1], [2, 5], 2).attend(0, query, SCALE)
    for row, length in ((0, 2), (1, 5)):
        for head in (0, 1):
            alone, _ = attend_plainly(
                query[row : row + 1, head : head + 1],
                keys[:1, :1, :length],
                values[:1, :1, :length],
                scale=SCALE,
            )
            assert out[row, head] == pytest.approx(alone[0, 0], abs=1e-6)


@pytest.mark.parametrize("length", [224, 256, 300, 575])
def test_causal_attention_in_blocks_is_the_formula(length):
    torch.manual_seed(0)
    query, keys, values = (torch.randn(2, 3, length, 8) for _ in range(3))
    found = attend(query, keys, values, scale=SCALE, is_causal=True)
    for one, other in zip(found, attend_plainly(query, keys, values, scale=SCALE, is_causal=True), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_a_block_of_queries_meets_no_key_that_none_of_it_sees(monkeypatch):
    kernel, sizes = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu, []

    def watched(query, keys, *rest, **options):
        sizes.append((query.shape[2], keys.shape[2]))
        return kernel(query, keys, *rest, **options)

    monkeypatch.setattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", watched)
    query = torch.randn(1, 1, 300, 8)
    attend(query, query, query, scale=SCALE, is_causal=True)
    assert sizes == [(128, 128), (128, 256), (44, 300)]


def test_in_blocks_too_a_sequence_is_answered_alone():
    torch.manual_seed(0)
    query, keys, values = (torch.randn(4, 3, 300, 8) for _ in range(3))
    together = attend(query, keys, values, scale=SCALE, is_causal=True)
    alone = attend(query[2:3], keys[2:3], values[2:3], scale=SCALE, is_causal=True)
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one[2:3], other)


def half_parts() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(1, 3, length, 8).bfloat16() for length in (4, 6, 6)]


def exact(query, keys, values, scale):
    """As the kernel of a GPU, computed from the formula."""
    return attend_plainly(query, keys, values, scale=scale)


def forgetful(query, keys, values, scale):
    """Some keys are not seen."""
    return attend_plainly(query, keys[:, :, :-60], values[:, :, :-60], scale=scale)


def refuse(*args):
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.\nmore")


def test_what_all_see_is_attended_to_by_a_kernel_that_was_tried_once():
    launched = []

    def watched(query, keys, values, scale):
        launched.append((query.shape[2], keys.shape[2]))
        return exact(query, keys, values, scale)

    attention = UnmaskedAttention(watched)
    for _ in range(2):
        out, lse = attention.attend(*half_parts(), SCALE)
        assert (out.shape, lse.shape, lse.dtype) == ((1, 3, 4, 8), (1, 3, 4), torch.float32)
    assert launched == [(130, 200), (4, 6), (4, 6)]


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(forgetful, "it answers differently"), (refuse, "FlashAttention only supports Ampere GPUs or newer.")],
    ids=["wrong", "refused"],
)
def test_a_kernel_for_what_all_see_that_fails_is_done_without_and_that_is_said_once(kernel, reason, caplog):
    attention = UnmaskedAttention(kernel)
    for _ in range(3):
        for one, other in zip(
            attention.attend(*half_parts(), SCALE), attend_plainly(*half_parts(), scale=SCALE), strict=True
        ):
            assert torch.equal(one, other)
    [said] = [record.getMessage() for record in caplog.records]
    assert said.endswith(reason)


@pytest.mark.parametrize(("width", "dtype"), [(8, torch.float32), (12, torch.bfloat16), (264, torch.bfloat16)])
def test_numbers_that_the_kernel_does_not_take_are_not_put_to_it(width, dtype, caplog):
    parts = [torch.ones(1, 3, length, width, dtype=dtype) for length in (4, 6, 6)]
    UnmaskedAttention(refuse).attend(*parts, SCALE)
    assert not caplog.records


def test_memory_that_runs_out_in_a_kernel_is_the_budgets_business():
    def fail(*args):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        UnmaskedAttention(fail).attend(*half_parts(), SCALE)


def test_pytorchs_flash_attention_takes_what_a_group_gives_it():
    """Its signature is bound, and its shapes are looked up in its own fake."""
    query, keys, values = (part.to("meta") for part in half_parts())
    out, lse = flash_kernel(query, keys, values, SCALE)
    assert (out.shape, lse.shape, lse.dtype) == (query.shape, query.shape[:3], torch.float32)


def test_off_the_cpu_only_what_all_see_goes_to_the_kernel(monkeypatch):
    asked = []

    class Kernel:
        def attend(self, query, keys, values, scale):
            asked.append(keys.shape[2])
            return attend_plainly(query, keys, values, scale=scale)

    monkeypatch.setattr("toolformer_ray.lm.attention.device_attention._unmasked", Kernel())
    query, keys, values = (part.to("meta") for part in half_parts())
    segment = Segment([(keys[0], values[0])])
    Group(segment, [0], [6], 1).attend(0, query, SCALE)
    Group(segment, [0, 1], [5, 6], 2).attend(0, query.expand(2, -1, -1, -1), SCALE)
    attend(keys, keys, values, scale=SCALE, is_causal=True)
    Group(segment, [0, 1], [4, 4], 2).attend(0, query.expand(2, -1, -1, -1), SCALE)
    assert asked == [6, 4]
