"""New tokens that see nothing but what is their own sequence's: behind what was kept of it, or in its slot.

Shapes as in lm.attention.shared; R sequences that are read on, N sequences in slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolformer_ray.lm.attention.shared import Attended, LayerCache, attend


@dataclass(frozen=True, eq=False)
class Kept:
    """What has been read of a sequence that is in no slot."""

    ids: Sequence[int]
    layers: Sequence[LayerCache] = ()
    """Per layer keys and values (K, L, D); none for a model that is not served."""

    def first(self, length: int) -> "Kept":
        """Its first tokens."""
        return Kept(self.ids[:length], [(keys[:, :length], values[:, :length]) for keys, values in self.layers])


class Continuing:
    """Runs of new tokens, each behind a sequence of its own."""

    def __init__(self, before: Sequence[Kept], device: torch.device) -> None:
        self._before = before
        lengths = [len(kept.ids) for kept in before]
        self.lengths_R = torch.tensor(lengths, device=device)
        self._longest = max(lengths)
        self._visible_R1LS: Tensor | None = None
        self.new: list[LayerCache] = []
        """Per layer the new keys and values (R, K, L, D)."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """`query` (R, H, L, D); each new token sees all that stands before it in its own sequence."""
        self.new.append((keys, values))
        if self._longest:
            visible = self._visible(query.shape[2])
            keys, values = (
                torch.cat([self._padded(layer, side, new), new], dim=2) for side, new in enumerate((keys, values))
            )
        else:
            visible = None
        groups = query.shape[1] // keys.shape[1]
        if groups > 1:
            keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))
        return attend(query, keys, values, scale=scale, is_causal=visible is None, visible=visible)

    def _padded(self, layer: int, side: int, like: Tensor) -> Tensor:
        padded = like.new_zeros(like.shape[0], like.shape[1], self._longest, like.shape[3])
        for row, kept in enumerate(self._before):
            if kept.ids:
                padded[row, :, : len(kept.ids)] = kept.layers[layer][side]
        return padded

    def _visible(self, num_new: int) -> Tensor:
        if self._visible_R1LS is None:
            device, num_rows = self.lengths_R.device, len(self._before)
            old_RS = torch.arange(self._longest, device=device) < self.lengths_R[:, None]
            old_RLS = old_RS[:, None].expand(num_rows, num_new, self._longest)
            new_LL = torch.ones(num_new, num_new, dtype=torch.bool, device=device).tril()
            self._visible_R1LS = torch.cat([old_RLS, new_LL.expand(num_rows, -1, -1)], dim=2)[:, None]
        return self._visible_R1LS


class InSlots:
    """One step: each sequence's new token is put behind its own, and sees them."""

    def __init__(self, buffers: Sequence[LayerCache], lengths_N: Tensor) -> None:
        self._buffers = buffers
        self._lengths_N = lengths_N
        self._rows_N = torch.arange(len(lengths_N), device=lengths_N.device)
        self._end = int(lengths_N.max()) + 1
        self._visible_N11S = (torch.arange(self._end, device=lengths_N.device) <= lengths_N[:, None])[:, None, None]

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """`query` (N, H, 1, D), `keys` and `values` (N, K, 1, D)."""
        num_rows, num_heads, _, width = query.shape
        seen = []
        for buffer_SKMD, new in zip(self._buffers[layer], (keys, values), strict=True):
            buffer_SKMD[self._rows_N, :, self._lengths_N] = new[:, :, 0]
            seen.append(buffer_SKMD[:num_rows, :, : self._end])
        # The query heads of one key head are so many queries of it.
        folded = query.reshape(num_rows, keys.shape[1], -1, width)
        out, lse = attend(folded, *seen, scale=scale, visible=self._visible_N11S)
        return out.reshape(query.shape), lse.reshape(num_rows, num_heads, 1)
