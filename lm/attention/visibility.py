"""What the tokens of a forward pass see, and where it lies.

A token sees itself and everything before it in its sequence. What it sees lies in up to three kinds of places: shared
segments, its sequence's own KV cache, and the new tokens of this pass. Each is attended to by itself, a shared segment
once for all sequences that see it, and the results are merged (`lm.attention.kernels`). How far back a layer sees is
the layer's (`lm.attention.layer`); entries of a shared segment that no query sees any more are not read.

Shapes: N sequences, H query heads, K key heads (H a multiple of K), L new tokens of each sequence, T new tokens of all
sequences together, S entries of a cache, D head width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from toolformer_ray.lm.attention.cache import Chain, LayerCache, Segment
from toolformer_ray.lm.attention.kernels import Attended, attend, attend_causally, merge
from toolformer_ray.lm.attention.layer import Layer


class UnsupportedAttention(ValueError):  # noqa: N818  describes a model, not a mistake
    """The model's attention is more than softmax attention over what a token may see."""


class NewTokens(Protocol):
    """The new tokens of a pass, and what only their own sequences see."""

    def attend(self, layer: Layer, query: Tensor, keys: Tensor, values: Tensor) -> Attended:
        """Stores the new keys and values (N, K, L, D) and attends to them; `query` is (N, H, L, D)."""

    @property
    def offsets_NL(self) -> Tensor:  # noqa: N802  named by its shape
        """How many tokens of its sequence stand between the shared segments and each new token."""


class Layout:
    """What the new tokens of N sequences see: the shared segments of their chains, then what is their own."""

    def __init__(self, chains: Sequence[Chain], new: NewTokens) -> None:
        self._levels = _group_by_segment(chains)
        self._new = new

    def attend(self, layer: Layer, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The attention (N, H, L, D) of the new tokens over everything that they see."""
        own = self._new.attend(layer, query, keys, values)
        offsets_NL = self._new.offsets_NL if layer.window is not None and self._levels else None
        return merge([*(_attend_level(groups, layer, query, offsets_NL) for groups in self._levels), own])


class SegmentGroup:
    """Sequences that see the same segment, each from its beginning up to a length of its own."""

    def __init__(
        self, segment: Segment, rows: Sequence[int], lengths: Sequence[int], spans: Sequence[int], num_sequences: int
    ) -> None:
        """`rows`: which of all sequences; `lengths`: how many of the segment's entries each sees, at least 1; `spans`:
        how many shared tokens each has from the segment's first entry on."""
        device = segment.layers[0][0].device
        self._segment = segment
        self._end = max(lengths)
        self.rows_N = None if list(rows) == list(range(num_sequences)) else torch.tensor(rows, device=device)
        """Which sequences; None means all."""
        self._lengths, self._spans = lengths, spans
        self._visible_N1S: Tensor | None = None
        if min(lengths) < self._end:
            self._visible_N1S = self._entries(0, device) < torch.tensor(lengths, device=device)[:, None, None]
        self._windowed: dict[int, tuple[int, Tensor | None]] = {}

    def attend(self, layer: Layer, query: Tensor, offsets_NL: Tensor | None) -> Attended:
        """The queries (N, H, L, D) of the group's sequences over the segment, in one product per key head.

        `offsets_NL`: of their new tokens, as in `NewTokens`; needed where the layer has a window.
        """
        num_rows, num_heads, num_new, width = query.shape
        first, visible = 0, self._visible_N1S
        if layer.window is not None and offsets_NL is not None:
            first, visible = self._through_window(layer, layer.window, offsets_NL)
        if first >= self._end:
            return _nothing_seen(query)
        keys, values = (part[None, :, first : self._end] for part in self._segment.layers[layer.index])
        num_key_heads = keys.shape[1]
        folded = query.reshape(num_rows, num_key_heads, -1, width).transpose(0, 1).reshape(1, num_key_heads, -1, width)
        if visible is not None:
            # Per row the queries of a key head stand head by head, and in a head token by token.
            visible = visible.expand(-1, num_new, -1).repeat(1, num_heads // num_key_heads, 1).flatten(0, 1)[None, None]
        out, lse = attend(folded, keys, values, scale=layer.scale, visible=visible)
        out = out.reshape(num_key_heads, num_rows, -1, width).transpose(0, 1).reshape(query.shape)
        return out, lse.reshape(num_key_heads, num_rows, -1).transpose(0, 1).reshape(num_rows, num_heads, num_new)

    def _through_window(self, layer: Layer, window: int, offsets_NL: Tensor) -> tuple[int, Tensor | None]:
        """The first entry that any query sees, and from there on who sees what, (N, L, S); made once for all layers.

        The first new token of a sequence stands `span` tokens behind entry 0: with a span of 6 and a window of 4 it
        sees entries 3, 4 and 5, and itself.
        """
        if window not in self._windowed:
            device = offsets_NL.device
            distance_NL = torch.tensor(self._spans, device=device)[:, None] + offsets_NL
            first = min(self._end, max(0, int(distance_NL.min()) - window + 1))
            visible = self._visible_N1S
            if int(distance_NL.max()) >= window:
                entries = self._entries(first, device)
                is_there = entries < torch.tensor(self._lengths, device=device)[:, None, None]
                visible = is_there & layer.sees(distance_NL[:, :, None] - entries)
            self._windowed[window] = first, visible
        return self._windowed[window]

    def _entries(self, first: int, device: torch.device) -> Tensor:
        return torch.arange(first, self._end, device=device)


class PackedTokens:
    """New tokens of several sequences, end to end in one row without padding; nothing of theirs was read before."""

    def __init__(self, lengths: Sequence[int], device: torch.device, *, keep: bool = False) -> None:
        """`keep`: whether `segments` will be asked for."""
        self._lengths = list(lengths)
        self._device = device
        self._keep = keep
        self._layers: list[LayerCache] = []

    def attend(self, layer: Layer, query: Tensor, keys: Tensor, values: Tensor) -> Attended:
        """Causal attention inside each sequence, one after the other; `query` is (1, H, T, D)."""
        if self._keep:
            _append(self._layers, layer.index, keys[0], values[0])
        pieces = (part.split(self._lengths, dim=2) for part in (query, *_per_query_head(query, keys, values)))
        parts = [attend_causally(*piece, layer=layer) for piece in zip(*pieces, strict=True)]
        return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)

    @property
    def offsets_NL(self) -> Tensor:  # noqa: N802  named by its shape
        """(1, T): the index of each token in its sequence."""
        return torch.cat([torch.arange(length, device=self._device) for length in self._lengths])[None]

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

    def __init__(
        self, caches: Sequence[Sequence[LayerCache]], num_new: int, device: torch.device, *, keep: bool = False
    ) -> None:
        """`caches`: what was read before, per sequence and layer (K, S, D); none if nothing was. `num_new`: L.

        `keep`: whether the new keys and values are needed afterwards.
        """
        self._caches = caches
        self._keep = keep
        lengths = [cache[0][0].shape[1] if cache else 0 for cache in caches]
        self._lengths_N = torch.tensor(lengths, device=device)
        self.offsets_NL = self._lengths_N[:, None] + torch.arange(num_new, device=device)
        self._longest = max(lengths)
        self._visible: dict[int | None, Tensor] = {}
        self.layers: list[LayerCache] = []
        """Per layer the new keys and values (N, K, L, D), if they are kept."""

    def attend(self, layer: Layer, query: Tensor, keys: Tensor, values: Tensor) -> Attended:
        """Each new token sees its sequence's cache and, causally, the new tokens of its sequence."""
        if self._keep:
            _append(self.layers, layer.index, keys, values)
        if not self._longest:
            keys, values = _per_query_head(query, keys, values)
            return attend_causally(query, keys, values, layer=layer)
        keys, values = (
            torch.cat([self._padded_cache(layer.index, side, new), new], dim=2)
            for side, new in enumerate((keys, values))
        )
        if layer.window not in self._visible:
            self._visible[layer.window] = self._who_sees_what(layer)
        keys, values = _per_query_head(query, keys, values)
        return attend(query, keys, values, scale=layer.scale, visible=self._visible[layer.window])

    def _padded_cache(self, layer: int, side: int, like: Tensor) -> Tensor:
        padded = like.new_zeros(like.shape[0], like.shape[1], self._longest, like.shape[3])
        for row, cache in enumerate(self._caches):
            if cache:
                padded[row, :, : cache[layer][side].shape[1]] = cache[layer][side]
        return padded

    def _who_sees_what(self, layer: Layer) -> Tensor:
        """(N, 1, L, S + L): which entries of its cache and which new tokens a new token sees."""
        cached_S = torch.arange(self._longest, device=self._lengths_N.device)
        cached_NS = torch.where(cached_S < self._lengths_N[:, None], cached_S, -1)
        index_NS = torch.cat([cached_NS, self.offsets_NL], dim=1)[:, None]
        visible_NLS = layer.sees(self.offsets_NL[:, :, None] - index_NS) & (index_NS >= 0)
        return visible_NLS[:, None]


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
        self._distance_N11S = (self._lengths_N[:, None] - torch.arange(self._end, device=device))[:, None, None]
        self._visible: dict[int | None, Tensor] = {}

    def attend(self, layer: Layer, query: Tensor, keys: Tensor, values: Tensor) -> Attended:
        """Writes the new keys and values (N, K, 1, D) behind each sequence's own and attends to all of them."""
        num_rows, num_heads, _, width = query.shape
        seen = []
        for buffer, new in zip(self._buffers[layer.index], (keys, values), strict=True):
            buffer[self._rows_N, :, self._lengths_N] = new[:, :, 0]
            seen.append(buffer[:num_rows, :, : self._end])
        # The query heads that share a key head are treated as so many queries of it.
        folded = query.reshape(num_rows, keys.shape[1], -1, width)
        if layer.window not in self._visible:
            self._visible[layer.window] = layer.sees(self._distance_N11S)
        out, lse = attend(folded, *seen, scale=layer.scale, visible=self._visible[layer.window])
        return out.reshape(query.shape), lse.reshape(num_rows, num_heads, 1)

    @property
    def offsets_NL(self) -> Tensor:  # noqa: N802  named by its shape
        """(N, 1): each new token stands behind its sequence's own cache."""
        return self._lengths_N[:, None]


def _group_by_segment(chains: Sequence[Chain]) -> list[list[SegmentGroup]]:
    """Per level of the chains, the sequences grouped by the segment that they see there."""
    levels: list[list[SegmentGroup]] = []
    spans = [sum(length for _, length in chain) for chain in chains]
    for level in range(max(map(len, chains), default=0)):
        seen: dict[Segment, tuple[list[int], list[int], list[int]]] = {}
        for row, chain in enumerate(chains):
            if level < len(chain):
                segment, length = chain[level]
                rows, lengths, its_spans = seen.setdefault(segment, ([], [], []))
                rows.append(row)
                lengths.append(length)
                its_spans.append(spans[row])
                spans[row] -= length
        levels.append([SegmentGroup(segment, *members, len(chains)) for segment, members in seen.items()])
    return levels


def _attend_level(groups: Sequence[SegmentGroup], layer: Layer, query: Tensor, offsets_NL: Tensor | None) -> Attended:
    if len(groups) == 1 and groups[0].rows_N is None:
        return groups[0].attend(layer, query, offsets_NL)
    # A sequence whose chain ends before this level gets no weight here.
    out, lse = _nothing_seen(query)
    for group in groups:
        rows = slice(None) if group.rows_N is None else group.rows_N
        offsets = None if offsets_NL is None else offsets_NL[rows]
        out[rows], lse[rows] = group.attend(layer, query[rows], offsets)
    return out, lse


def _nothing_seen(query: Tensor) -> Attended:
    """What queries (N, H, L, D) get from a part of which they see nothing: no weight when parts are merged."""
    return torch.zeros_like(query), query.new_full(query.shape[:3], -torch.inf, dtype=torch.float32)


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
