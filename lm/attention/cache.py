"""The KV cache: keys and values of tokens that were read, in segments that sequences share and of each its own.

A prompt or a text is kept once, however many sequences go on from it. Shapes: K key heads, S entries of a segment, L
tokens, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

LayerCache = tuple[Tensor, Tensor]
"""Keys and values of one layer."""


@dataclass(frozen=True, eq=False)
class Segment:
    """Keys and values of a run of tokens, which many sequences may share."""

    layers: Sequence[LayerCache]
    """Per layer keys and values, each (K, S, D)."""

    def __len__(self) -> int:
        return self.layers[0][0].shape[1]


Chain = tuple[tuple[Segment, int], ...]
"""The shared segments that a sequence begins with, in order, and how many entries of each belong to it."""


def chain_length(chain: Chain) -> int:
    """How many tokens a chain has."""
    return sum(length for _, length in chain)


@dataclass(frozen=True, eq=False)
class CachedSequence:
    """A sequence whose tokens have been read."""

    ids: Sequence[int] = ()
    """All of its tokens."""
    chain: Chain = ()
    """Its beginning."""
    layers: Sequence[LayerCache] = ()
    """The keys and values (K, L, D) of the tokens behind the chain; empty without a KV cache, and if there are none."""

    @cached_property
    def num_shared(self) -> int:
        """How many of its tokens are in shared segments."""
        return chain_length(self.chain)

    def first(self, length: int) -> "CachedSequence":
        """Its first tokens, at least those of the chain."""
        num_own = length - self.num_shared
        layers = [(keys[:, :num_own], values[:, :num_own]) for keys, values in self.layers]
        return CachedSequence(self.ids[:length], self.chain, layers)

    def extended(self, ids: Sequence[int], layers: Sequence[LayerCache]) -> "CachedSequence":
        """The sequence with more tokens behind it, and copies of their keys and values."""
        if len(self.ids) > self.num_shared:
            pairs = zip(self.layers, layers, strict=True)
            layers = [(torch.cat([a[0], b[0]], dim=1), torch.cat([a[1], b[1]], dim=1)) for a, b in pairs]
        else:
            layers = [(keys.clone(), values.clone()) for keys, values in layers]
        return CachedSequence([*self.ids, *ids], self.chain, layers)
