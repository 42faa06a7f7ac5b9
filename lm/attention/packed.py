"""Causal attention of sequences that stand end to end in one row, one sequence after the other.

Shapes: H query heads, K key heads, T tokens of all sequences together, D head width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolformer_ray.lm.attention.shared import Attended, LayerCache, Segment, attend, check_order


@dataclass(eq=False)
class PackedTokens:
    """New tokens of several sequences in one row, end to end without padding; each sees those before it in its own.

    Their keys and values are kept if someone goes on from them.
    """

    lengths: Sequence[int]
    keep: bool = False
    layers: list[LayerCache] = field(default_factory=list)
    """Per layer, keys and values of the whole row, each (K, T, D)."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Causal attention inside each sequence; `query` (1, H, T, D). Layers come in order."""
        if self.keep:
            check_order(layer, self.layers)
            self.layers.append((keys[0], values[0]))
        return attend_in_turn(query, keys, values, self.lengths, scale)

    def segments(self) -> list[Segment]:
        """What was kept of each sequence, in memory of its own; the row is given up, layer by layer."""
        kept: list[list[LayerCache]] = [[] for _ in self.lengths]
        while self.layers:
            keys, values = (part.split(list(self.lengths), dim=1) for part in self.layers.pop(0))
            for layers, one, two in zip(kept, keys, values, strict=True):
                layers.append((_own(one), _own(two)))
        return [Segment(layers) for layers in kept]


def attend_in_turn(query: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int], scale: float) -> Attended:
    """One sequence after the other."""
    groups = query.shape[1] // keys.shape[1]
    if groups > 1:
        keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))
    pieces = zip(*(part.split(list(lengths), dim=2) for part in (query, keys, values)), strict=True)
    parts = [attend(q, k, v, scale=scale, is_causal=True) for q, k, v in pieces]
    return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)


def _own(part: Tensor) -> Tensor:
    """In memory of its own: a view would hold its whole row, in families with one product for all three the queries
    besides, until the last prompt of the batch is done with."""
    return part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
