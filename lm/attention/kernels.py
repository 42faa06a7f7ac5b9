"""Attention of queries over one set of keys, with log-sum-exp, and the exact merge of several such sets.

Softmax attention over keys that are cut into parts is the average of the attention over each part, weighted by the
softmax of the parts' log-sum-exp (Hydragen, arXiv 2402.05099). Shapes: N sequences, H heads, L queries, S keys, D head
width.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from toolformer_ray.lm.attention.layer import Layer

KERNELS = {"cpu": torch.ops.aten._scaled_dot_product_flash_attention_for_cpu}
"""By type of device, torch's kernels that return log-sum-exp and take any mask; elsewhere the formula is used."""

# The CPU kernel computes the masked half of causal attention too when a sequence has some hundred tokens. Working in
# blocks of queries saves a tenth to a fifth of the time there; shorter and longer sequences gain nothing.
BLOCK = 128
BLOCKED_LENGTHS = range(224, 576)

Attended = tuple[Tensor, Tensor]
"""Attention over one part: the output (N, H, L, D), and the log-sum-exp of the scores (N, H, L) in float32."""


def attend(query: Tensor, keys: Tensor, values: Tensor, *, scale: float, visible: Tensor | None = None) -> Attended:
    """`visible` is (L, S) or broadcasts to (N, H, L, S). A query that sees nothing gets 0, with log-sum-exp -inf."""
    if query.device.type not in KERNELS:
        return attend_by_formula(query, keys, values, scale=scale, visible=visible)
    if visible is None:
        return _run_kernel(query, keys, values, scale, is_causal=False, mask=None)
    out, lse = _run_kernel(query, keys, values, scale, is_causal=False, mask=_additive(visible, query.dtype))
    # The kernel says 0 where a query sees nothing.
    return out, lse.masked_fill(~visible.any(-1), -torch.inf)


def attend_causally(query: Tensor, keys: Tensor, values: Tensor, *, layer: Layer) -> Attended:
    """Each of L queries sees the keys up to its own, as far back as the layer sees; L = S."""
    length, scale = query.shape[2], layer.scale
    if layer.window is not None and layer.window < length:
        return _attend_through_window(query, keys, values, layer, layer.window)
    if query.device.type not in KERNELS:
        visible = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        return attend_by_formula(query, keys, values, scale=scale, visible=visible)
    if length in BLOCKED_LENGTHS:
        return _attend_in_blocks(query, keys, values, scale)
    return _run_kernel(query, keys, values, scale, is_causal=True, mask=None)


def attend_by_formula(
    query: Tensor, keys: Tensor, values: Tensor, *, scale: float, visible: Tensor | None = None
) -> Attended:
    """The same as `attend` in plain torch operations, for every device."""
    scores = (query @ keys.transpose(-1, -2)).float() * scale
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp().nan_to_num(0.0)
    return weights.to(values.dtype) @ values, lse


def merge(parts: Sequence[Attended]) -> Tensor:
    """The attention (N, H, L, D) over the keys of all parts together."""
    if len(parts) == 1:
        return parts[0][0]
    weights = torch.stack([lse for _, lse in parts]).softmax(0)[..., None]
    merged = parts[0][0] * weights[0]
    for (out, _), weight in zip(parts[1:], weights[1:], strict=True):
        merged = torch.addcmul(merged, out.to(merged.dtype), weight)
    return merged.to(parts[0][0].dtype)


def _attend_in_blocks(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
    """Causal attention in which a block of queries reads no key behind its last query."""
    length, parts = query.shape[2], []
    for first in range(0, length, BLOCK):
        end = min(length, first + BLOCK)
        mask = _block_mask(query.dtype)[: end - first, BLOCKED_LENGTHS.stop - first :][:, :end] if first else None
        block, keys_seen, values_seen = query[:, :, first:end], keys[:, :, :end], values[:, :, :end]
        parts.append(_run_kernel(block, keys_seen, values_seen, scale, is_causal=first == 0, mask=mask))
    return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)


def _attend_through_window(query: Tensor, keys: Tensor, values: Tensor, layer: Layer, window: int) -> Attended:
    """Causal attention in which a block of queries reads only the keys that one of them sees."""
    length, parts = query.shape[2], []
    for first in range(0, length, BLOCK):
        end, begin = min(length, first + BLOCK), max(0, first - window + 1)
        index = torch.arange(begin, end, device=query.device)
        visible = layer.sees(index[first - begin :, None] - index)
        block = query[:, :, first:end]
        parts.append(attend(block, keys[:, :, begin:end], values[:, :, begin:end], scale=layer.scale, visible=visible))
    return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)


@functools.cache
def _block_mask(dtype: torch.dtype) -> Tensor:
    """The additive mask that every block's mask is a slice of: row r sees columns up to r + BLOCKED_LENGTHS.stop."""
    visible = torch.ones(BLOCK, 2 * BLOCKED_LENGTHS.stop, dtype=torch.bool).tril(BLOCKED_LENGTHS.stop)
    return _additive(visible, dtype)


def _run_kernel(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, *, is_causal: bool, mask: Tensor | None
) -> Attended:
    return KERNELS[query.device.type](query, keys, values, 0.0, is_causal, attn_mask=mask, scale=scale)


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -torch.inf)
