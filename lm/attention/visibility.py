"""What the tokens of a forward pass may see: the one place where that is decided.

A token sees itself and everything before it in its sequence. What it sees lies in up to three kinds of places: shared
segments, its sequence's own KV cache, and the new tokens of this pass. Each is attended to by itself, a shared segment
once for all sequences that see it, and the results are merged (`lm.attention.kernels`). Every method here is told the
layer, so a layer that sees less than everything, such as one with a sliding window, narrows its masks here.

Shapes: N sequences, H query heads, K key heads (H a multiple of K), L new tokens of each sequence, T new tokens of all
sequences together, S entries of a cache, D head width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from toolformer_ray.lm.attention.cache import Chain, LayerCache, Segment
from toolformer_ray.lm.attention.kernels import Attended, attend, merge


class UnsupportedAttention(ValueError):  # noqa: N818  describes a model, not a mistake
    """The model's attention is more than softmax attention over what a token may see."""


class NewTokens(Protocol):
    """The new tokens of a pass, and what only their own sequences see."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Stores the new keys and values (N, K, L, D) and attends to them; `query` is (N, H, L, D)."""


class Layout:
    """What the new tokens of N sequences see: the shared segments of their chains, then what is their own."""

    def __init__(self, chains: Sequence[Chain], new: NewTokens) -> None:
        self._levels = group_by_segment(chains)
        self._new = new

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        """The attention (N, H, L, D) of the new tokens over everything that they see."""
        own = self._new.attend(layer, query, keys, values, scale)
        return merge([*(_attend_level(groups, layer, query, scale) for groups in self._levels), own])


class SegmentGroup:
    """Sequences that see the same segment, each from its beginning up to a length of its own."""

    def __init__(self, segment: Segment, rows: Sequence[int], lengths: Sequence[int], num_sequences: int) -> None:
        """`rows`: which of all sequences; `lengths`: how many of the segment's entries each sees, at least 1."""
        device = segment.layers[0][0].device
        self._segment = segment
        self._end = max(lengths)
        self.rows_N = None if list(rows) == list(range(num_sequences)) else torch.tensor(rows, device=device)
        """Which sequences; None means all."""
        self._visible_NS: Tensor | None = None
        if min(lengths) < self._end:
            lengths_N1 = torch.tensor(lengths, device=device)[:, None]
            self._visible_NS = torch.arange(self._end, device=device) < lengths_N1

    def attend(self, layer: int, query: Tensor, scale: float) -> Attended:
        """The queries (N, H, L, D) of the group's sequences over the segment, in one product per key head."""
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


class PackedTokens:
    """New tokens of several sequences, end to end in one row without padding; nothing of theirs was read before."""

    def __init__(self, lengths: Sequence[int], *, keep: bool = False) -> None:
        """`keep`: whether `segments` will be asked for."""
        self._lengths = list(lengths)
        self._keep = keep
        self._layers: list[LayerCache] = []

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Causal attention inside each sequence, one after the other; `query` is (1, H, T, D)."""
        if self._keep:
            _append(self._layers, layer, keys[0], values[0])
        pieces = (part.split(self._lengths, dim=2) for part in (query, *_per_query_head(query, keys, values)))
        parts = [attend(*piece, scale=scale, is_causal=True) for piece in zip(*pieces, strict=True)]
        return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)

    def segments(self) -> list[Segment]:
        """The keys and values of each sequence, each in memory of its own; the row's are released layer by layer."""
        kept: list[list[LayerCache]] = [[] for _ in self._lengths]
        while self._layers:
            keys, values = (part.split(self._lengths, dim=1) for part in self._layers.pop(0))
            for layers, one, two in zip(kept, keys, values, strict=True):
                layers.append((_copied(one), _copied(two)))
        return [Segment(layers) for layers in kept]


class PaddedTokens:
    """New tokens of N sequences, padded on the right to equal length; each sequence may have a KV cache of its own."""

    def __init__(self, caches: Sequence[Sequence[LayerCache]], device: torch.device, *, keep: bool = False) -> None:
        """`caches`: what was read before, per sequence and layer (K, S, D); none if nothing was.

        `keep`: whether the new keys and values are needed afterwards.
        """
        self._caches = caches
        self._keep = keep
        lengths = [cache[0][0].shape[1] if cache else 0 for cache in caches]
        self._lengths_N = torch.tensor(lengths, device=device)
        self._longest = max(lengths)
        self._visible_N1LS: Tensor | None = None
        self.layers: list[LayerCache] = []
        """Per layer the new keys and values (N, K, L, D), if they are kept."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Each new token sees its sequence's cache and, causally, the new tokens of its sequence."""
        if self._keep:
            _append(self.layers, layer, keys, values)
        visible = None
        if self._longest:
            visible = self._visible(query.shape[2])
            keys, values = (
                torch.cat([self._padded_cache(layer, side, new), new], dim=2) for side, new in enumerate((keys, values))
            )
        keys, values = _per_query_head(query, keys, values)
        return attend(query, keys, values, scale=scale, is_causal=visible is None, visible=visible)

    def _padded_cache(self, layer: int, side: int, like: Tensor) -> Tensor:
        padded = like.new_zeros(like.shape[0], like.shape[1], self._longest, like.shape[3])
        for row, cache in enumerate(self._caches):
            if cache:
                padded[row, :, : cache[layer][side].shape[1]] = cache[layer][side]
        return padded

    def _visible(self, num_new: int) -> Tensor:
        """(N, 1, L, S + L), made once for all layers."""
        if self._visible_N1LS is None:
            device, num_rows = self._lengths_N.device, len(self._caches)
            cached_NS = torch.arange(self._longest, device=device) < self._lengths_N[:, None]
            cached_NLS = cached_NS[:, None].expand(num_rows, num_new, self._longest)
            new_LL = torch.ones(num_new, num_new, dtype=torch.bool, device=device).tril()
            self._visible_N1LS = torch.cat([cached_NLS, new_LL.expand(num_rows, -1, -1)], dim=2)[:, None]
        return self._visible_N1LS


class SlotTokens:
    """One new token of each of N sequences, whose own KV caches are the first N rows of shared buffers."""

    def __init__(self, buffers: Sequence[LayerCache], lengths: Sequence[int], device: torch.device) -> None:
        """`buffers`: per layer (at least N, K, S, D); `lengths`: how many entries of its row each sequence fills.

        Every row has room for one more entry.
        """
        self._buffers = buffers
        self._lengths_N = torch.tensor(lengths, device=device)
        self._rows_N = torch.arange(len(lengths), device=device)
        self._end = max(lengths) + 1
        self._visible_N11S = (torch.arange(self._end, device=device) <= self._lengths_N[:, None])[:, None, None]

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Writes the new keys and values (N, K, 1, D) behind each sequence's own and attends to all of them."""
        num_rows, num_heads, _, width = query.shape
        seen = []
        for buffer, new in zip(self._buffers[layer], (keys, values), strict=True):
            buffer[self._rows_N, :, self._lengths_N] = new[:, :, 0]
            seen.append(buffer[:num_rows, :, : self._end])
        # The query heads that share a key head are treated as so many queries of it.
        folded = query.reshape(num_rows, keys.shape[1], -1, width)
        out, lse = attend(folded, *seen, scale=scale, visible=self._visible_N11S)
        return out.reshape(query.shape), lse.reshape(num_rows, num_heads, 1)


def group_by_segment(chains: Sequence[Chain]) -> list[list[SegmentGroup]]:
    """Per level of the chains, the sequences grouped by the segment that they see there."""
    levels: list[list[SegmentGroup]] = []
    for level in range(max(map(len, chains), default=0)):
        seen: dict[Segment, tuple[list[int], list[int]]] = {}
        for row, chain in enumerate(chains):
            if level < len(chain):
                segment, length = chain[level]
                rows, lengths = seen.setdefault(segment, ([], []))
                rows.append(row)
                lengths.append(length)
        levels.append([SegmentGroup(segment, *members, len(chains)) for segment, members in seen.items()])
    return levels


def _attend_level(groups: Sequence[SegmentGroup], layer: int, query: Tensor, scale: float) -> Attended:
    if len(groups) == 1 and groups[0].rows_N is None:
        return groups[0].attend(layer, query, scale)
    # A sequence whose chain ends before this level gets no weight here.
    out, lse = torch.zeros_like(query), query.new_full(query.shape[:3], -torch.inf, dtype=torch.float32)
    for group in groups:
        rows = slice(None) if group.rows_N is None else group.rows_N
        out[rows], lse[rows] = group.attend(layer, query[rows], scale)
    return out, lse


def _per_query_head(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values repeated so that every query head has its own."""
    repeats = query.shape[1] // keys.shape[1]
    if repeats == 1:
        return keys, values
    return keys.repeat_interleave(repeats, dim=1), values.repeat_interleave(repeats, dim=1)


def _append(layers: list[LayerCache], layer: int, keys: Tensor, values: Tensor) -> None:
    if layer != len(layers):
        raise UnsupportedAttention(f"layer {layer} comes after {len(layers)} layers")
    layers.append((keys, values))


def _copied(part: Tensor) -> Tensor:
    """The part in memory of its own: a view would keep the keys, values and, in families that compute them together,
    the queries of all sequences of its batch."""
    return part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
