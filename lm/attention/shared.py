"""Attention in parts: what sequences share is attended to once for all of them, and merged with what each has alone.

Softmax over keys that are cut into parts is the parts' softmaxes weighted by their sums, so each part may be computed
by itself as long as it also says log sum exp of its scores (Hydragen, arXiv 2402.05099; exact). Keys and values of a
prompt or a text are therefore kept once, never copied per sample, and many queries meet them in one matrix product.

`lm.attention.serving` has a model come here; which parts its tokens see is the current `Layout`.

Shapes: N sequences, H query heads, K key heads (H a multiple of K), L new tokens, S shared entries, D head width.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

# The CPU's kernel computes causal attention over some hundred tokens almost in full, the half that is masked included.
# Blocks of queries spare a tenth to a fifth of the time; shorter and longer sequences gain nothing.
BLOCK = 128
BLOCKED_LENGTHS = range(224, 576)

KERNEL_DEVICES = ("cpu",)
"""Where torch has a kernel of attention that says log sum exp for every mask; elsewhere the formula does it."""

LayerCache = tuple[Tensor, Tensor]

Attended = tuple[Tensor, Tensor]
"""The answer of one part: its values (N, H, L, D), and log sum exp of its scores (N, H, L), float32."""


class UnservedAttention(ValueError):  # noqa: N818  what it says of a model
    """A family whose attention is more than the parts can say."""


class OwnTokens(Protocol):
    """The part that no other sequence sees: takes the new keys and values in and attends to them."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """`query` (N, H, L, D); `keys`, `values` (N, K, L, D) of the new tokens."""


class SharedPart(Protocol):
    """A part that several sequences see."""

    rows_N: Tensor | None  # noqa: N815  a shape, not a case
    """Which sequences; None: all."""

    def attend(self, layer: int, query: Tensor, scale: float) -> Attended:
        """`query` (N, H, L, D) of those sequences."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Keys and values of a run of tokens that many sequences see."""

    layers: Sequence[LayerCache]
    """Per layer, keys and values, each (K, S, D)."""

    def __len__(self) -> int:
        return self.layers[0][0].shape[1]


class Group:
    """Sequences that see the same segment, each from its beginning up to a length of its own."""

    def __init__(self, segment: Segment, rows: Sequence[int], lengths: Sequence[int], num_sequences: int) -> None:
        """`rows`: which of all sequences; `lengths`: how many of the segment's entries each sees, at least 1."""
        device = segment.layers[0][0].device
        self._segment = segment
        self._end = max(lengths)
        self.rows_N = None if list(rows) == list(range(num_sequences)) else torch.tensor(rows, device=device)
        self._visible_NS: Tensor | None = None
        if min(lengths) < self._end:
            lengths_N1 = torch.tensor(lengths, device=device)[:, None]
            self._visible_NS = torch.arange(self._end, device=device) < lengths_N1

    def attend(self, layer: int, query: Tensor, scale: float) -> Attended:
        """The group's queries (N, H, L, D) over the segment, in one product per key head."""
        num_rows, num_heads, num_new, width = query.shape
        keys, values = (part[None, :, : self._end] for part in self._segment.layers[layer])
        num_key_heads = keys.shape[1]
        folded = query.reshape(num_rows, num_key_heads, -1, width).transpose(0, 1).reshape(1, num_key_heads, -1, width)
        visible = self._visible_NS
        if visible is not None:
            visible = visible.repeat_interleave(folded.shape[2] // num_rows, dim=0)[None, None]
        out, lse = attend(folded, keys, values, scale=scale, visible=visible)
        out = out.reshape(num_key_heads, num_rows, -1, width).transpose(0, 1).reshape(query.shape)
        return out, lse.reshape(num_key_heads, num_rows, -1).transpose(0, 1).reshape(num_rows, num_heads, num_new)


class Layout:
    """Which parts the new tokens of N sequences see: per level one segment each, then what each has alone."""

    def __init__(self, levels: Sequence[Sequence[SharedPart]], own: OwnTokens) -> None:
        """`levels`: no sequence is in two groups of a level."""
        self._levels = levels
        self._own = own

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        """The new tokens' attention over everything that they see, (N, H, L, D)."""
        own = self._own.attend(layer, query, keys, values, scale)
        return merge([*(_attend_level(groups, layer, query, scale) for groups in self._levels), own])


@dataclass(eq=False)
class CausalTokens:
    """As many new tokens for each of N sequences, padded on the right; each sees those before it in its own."""

    keep: bool = False
    layers: list[LayerCache] = field(default_factory=list)
    """Per layer, keys and values, each (N, K, L, D)."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Causal attention inside each sequence. Layers come in order."""
        if self.keep:
            check_order(layer, self.layers)
            self.layers.append((keys, values))
        groups = query.shape[1] // keys.shape[1]
        if groups > 1:
            keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))
        return attend(query, keys, values, scale=scale, is_causal=True)


def check_order(layer: int, layers: Sequence[LayerCache]) -> None:
    """Raises UnservedAttention if a layer keeps its keys and values out of turn."""
    if layer != len(layers):
        raise UnservedAttention(f"layer {layer} comes after {len(layers)} layers")


def attend(
    query: Tensor, keys: Tensor, values: Tensor, *, scale: float, is_causal: bool = False, visible: Tensor | None = None
) -> Attended:
    """Attention with log sum exp. `visible` is (L, S) or broadcasts to (N, H, L, S); with `is_causal`, L = S."""
    if query.device.type not in KERNEL_DEVICES:
        return attend_by_formula(query, keys, values, scale=scale, is_causal=is_causal, visible=visible)
    if is_causal and query.shape[2] in BLOCKED_LENGTHS:
        return _attend_in_blocks(query, keys, values, scale)
    mask = None if visible is None else _additive(visible, query.dtype)
    return _run_kernel(query, keys, values, scale, is_causal=is_causal, mask=mask)


def attend_by_formula(
    query: Tensor, keys: Tensor, values: Tensor, *, scale: float, is_causal: bool = False, visible: Tensor | None = None
) -> Attended:
    """The same in plain torch operations, for devices other than the CPU."""
    scores = (query @ keys.transpose(-1, -2)).float() * scale
    if is_causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    lse = scores.logsumexp(-1)
    return (scores - lse[..., None]).exp().to(values.dtype) @ values, lse


def _attend_in_blocks(query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
    """Causal attention, each block of queries over no more keys than its last one sees."""
    length, parts = query.shape[2], []
    for first in range(0, length, BLOCK):
        end = min(length, first + BLOCK)
        mask = _block_mask(query.dtype)[: end - first, BLOCKED_LENGTHS.stop - first :][:, :end] if first else None
        block, keys_seen, values_seen = query[:, :, first:end], keys[:, :, :end], values[:, :, :end]
        parts.append(_run_kernel(block, keys_seen, values_seen, scale, is_causal=first == 0, mask=mask))
    return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)


@functools.cache
def _block_mask(dtype: torch.dtype) -> Tensor:
    """What is added to scores, for all blocks to be cut of: row r sees up to column r + BLOCKED_LENGTHS.stop."""
    visible = torch.ones(BLOCK, 2 * BLOCKED_LENGTHS.stop, dtype=torch.bool).tril(BLOCKED_LENGTHS.stop)
    return _additive(visible, dtype)


def _run_kernel(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, *, is_causal: bool, mask: Tensor | None
) -> Attended:
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, 0.0, is_causal, attn_mask=mask, scale=scale
    )


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -torch.inf)


def _attend_level(groups: Sequence[SharedPart], layer: int, query: Tensor, scale: float) -> Attended:
    if len(groups) == 1 and groups[0].rows_N is None:
        return groups[0].attend(layer, query, scale)
    # A sequence that no group of the level holds sees nothing there.
    out, lse = torch.zeros_like(query), query.new_full(query.shape[:3], -torch.inf, dtype=torch.float32)
    for group in groups:
        rows = slice(None) if group.rows_N is None else group.rows_N
        out[rows], lse[rows] = group.attend(layer, query[rows], scale)
    return out, lse


def merge(parts: Sequence[Attended]) -> Tensor:
    """The attention over all parts, (N, H, L, D), from that over each."""
    if len(parts) == 1:
        return parts[0][0]
    weights = torch.stack([lse for _, lse in parts]).softmax(0)[..., None]
    merged = parts[0][0] * weights[0]
    for (out, _), weight in zip(parts[1:], weights[1:], strict=True):
        merged = torch.addcmul(merged, out.to(merged.dtype), weight)
    return merged.to(parts[0][0].dtype)
