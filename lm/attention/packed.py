"""Causal attention of sequences that stand end to end in one row: in one launch where the device can, else in turn.

Shapes: H query heads, K key heads, T tokens of all sequences together, D head width.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from toolformer_ray.lm.attention.device_attention import KERNEL_DTYPES, Attended, agree, random_numbers
from toolformer_ray.lm.attention.shared import LayerCache, Segment, attend, check_order

# Sequences of a made-up row on which a kernel shows that it is causal and keeps sequences apart: a row of one sequence
# shows neither. One is longer than the blocks that kernels work in.
PROBE_LENGTHS = (3, 1, 200, 5)
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int, float], Attended]
"""Queries (T, H, D), keys and values (T, K, D), where sequences begin and end (N + 1,), the longest, the scale;
answers (T, H, D) and log sum exp (H, T)."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class PackedTokens:
    """New tokens of several sequences in one row, end to end without padding; each sees those before it in its own.

    Their keys and values are kept if someone goes on from them.
    """

    lengths: Sequence[int]
    keep: bool = False
    layers: list[LayerCache] = field(default_factory=list)
    """Per layer, keys and values of the whole row, each (K, T, D)."""
    attention: "PackedAttention | None" = None
    """Who attends; the network fills it in."""

    def attend(self, layer: int, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> Attended:
        """Causal attention inside each sequence; `query` (1, H, T, D). Layers come in order."""
        if self.keep:
            check_order(layer, self.layers)
            self.layers.append((keys[0], values[0]))
        attention = self.attention.attend if self.attention else attend_in_turn
        return attention(query, keys, values, self.lengths, scale)

    def segments(self) -> list[Segment]:
        """What was kept of each sequence, in memory of its own; the row is given up, layer by layer."""
        kept: list[list[LayerCache]] = [[] for _ in self.lengths]
        while self.layers:
            keys, values = (part.split(list(self.lengths), dim=1) for part in self.layers.pop(0))
            for layers, one, two in zip(kept, keys, values, strict=True):
                layers.append((_own(one), _own(two)))
        return [Segment(layers) for layers in kept]


class PackedAttention:
    """Attends inside each sequence of a row; each sees what stands before it in its own."""

    def __init__(self, device: torch.device, kernel: Kernel | None = None) -> None:
        """`kernel`: by default PyTorch's for sequences of various lengths, on CUDA only."""
        self._kernel = varlen_kernel if kernel is None and device.type == "cuda" else kernel
        self._checked: set[tuple[int, int, int, torch.dtype]] = set()
        self._ends: tuple[Sequence[int], Tensor] | None = None

    def attend(self, query: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int], scale: float) -> Attended:
        """`query` (1, H, T, D), `keys` and `values` (1, K, T, D); as `lm.attention.shared` has it, float32 lse."""
        if self._kernel is None or query.dtype not in KERNEL_DTYPES:
            return attend_in_turn(query, keys, values, lengths, scale)
        try:
            if not self._is_right(query, keys, scale):
                return self._give_up("it answers differently", query, keys, values, lengths, scale)
            return self._launch(self._kernel, query, keys, values, lengths, scale)
        except torch.OutOfMemoryError:
            raise
        except (ImportError, RuntimeError, ValueError) as error:
            return self._give_up(str(error).strip().partition("\n")[0], query, keys, values, lengths, scale)

    def _is_right(self, query: Tensor, keys: Tensor, scale: float) -> bool:
        """Whether the kernel answers as the formula does, for these numbers of heads, on a row made up for it."""
        shape = query.shape[1], keys.shape[1], query.shape[3], query.dtype
        if self._kernel is None or shape in self._checked:
            return self._kernel is not None
        sizes = [(1, heads, sum(PROBE_LENGTHS), shape[2]) for heads in (shape[0], shape[1], shape[1])]
        query, keys, values = random_numbers(sizes, query)
        found = self._launch(self._kernel, query, keys, values, PROBE_LENGTHS, scale)
        if agree(found, attend_in_turn(query.float(), keys.float(), values.float(), PROBE_LENGTHS, scale)):
            self._checked.add(shape)
        return shape in self._checked

    def _launch(
        self, kernel: Kernel, query: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int], scale: float
    ) -> Attended:
        # All layers of a pass ask with the same list.
        if self._ends is None or self._ends[0] is not lengths:
            self._ends = lengths, torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=query.device)
        ends = self._ends[1]
        packed = [part[0].transpose(0, 1) for part in (query, keys, values)]
        out_THD, lse_HT = kernel(packed[0], packed[1], packed[2], ends, max(lengths), scale)
        return out_THD.transpose(0, 1)[None], lse_HT[None].float()

    def _give_up(
        self, reason: str, query: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int], scale: float
    ) -> Attended:
        self._kernel = None
        logger.warning("attention over packed sequences takes one at a time, which is slower: %s", reason)
        return attend_in_turn(query, keys, values, lengths, scale)


def attend_in_turn(query: Tensor, keys: Tensor, values: Tensor, lengths: Sequence[int], scale: float) -> Attended:
    """One sequence after the other."""
    groups = query.shape[1] // keys.shape[1]
    if groups > 1:
        keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))
    pieces = zip(*(part.split(list(lengths), dim=2) for part in (query, keys, values)), strict=True)
    parts = [attend(q, k, v, scale=scale, is_causal=True) for q, k, v in pieces]
    return torch.cat([out for out, _ in parts], dim=2), torch.cat([lse for _, lse in parts], dim=2)


def varlen_kernel(query: Tensor, keys: Tensor, values: Tensor, ends: Tensor, longest: int, scale: float) -> Attended:
    """PyTorch's flash attention for sequences of various lengths."""
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    out, lse = varlen_attn(
        query,
        keys,
        values,
        ends,
        ends,
        longest,
        longest,
        return_aux=AuxRequest(lse=True),
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != keys.shape[1],
    )
    # Its documentation says (T, H), its code (H, T).
    return out, lse if lse.shape == (query.shape[1], query.shape[0]) else lse.transpose(0, 1)


def _own(part: Tensor) -> Tensor:
    """In memory of its own: a view would hold its whole row, in families with one product for all three the queries
    besides, until the last prompt of the batch is done with."""
    return part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
