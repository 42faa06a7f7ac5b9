"""Room for the samples that are being written: each goes on from its branch, with a few tokens of its own."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from toolformer_ray.lm.attention.shared import Attended, LayerCache, Layout, attend
from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.scoring.prompt_reading import Branch, group_by_segment


class Slots(Protocol):
    """N sequences, numbered from 0; where one leaves, the last takes its number."""

    def enter(self, branch: Branch) -> int:
        """A new sequence; its number, the next one."""

    def leave(self, number: int) -> None:
        """Forget a sequence."""

    def write(self, ids: Sequence[int]) -> Tensor:
        """Append one token to each sequence; the hidden states (N, W) after it."""


class SharedSlots:
    """For models that are served: own tokens in one buffer per layer, everything before them in shared segments."""

    def __init__(self, network: Network, num_slots: int, num_tokens: int) -> None:
        """Room for `num_slots` sequences of `num_tokens` tokens of their own; longer ones double the room of all."""
        self._network = network
        self._num_slots = num_slots
        self._num_tokens = num_tokens
        self._branches: list[Branch] = []
        self._lengths: list[int] = []
        self._buffers: list[LayerCache] = []

    def enter(self, branch: Branch) -> int:
        """Copies the start marker's keys and values, one or two tokens."""
        if not self._buffers:
            self._buffers = [(self._room(keys), self._room(values)) for keys, values in branch.marker]
        slot, length = len(self._branches), branch.marker[0][0].shape[1]
        for (keys_SKMD, values_SKMD), (keys_KLD, values_KLD) in zip(self._buffers, branch.marker, strict=True):
            keys_SKMD[slot, :, :length] = keys_KLD
            values_SKMD[slot, :, :length] = values_KLD
        self._branches.append(branch)
        self._lengths.append(length)
        return slot

    def leave(self, number: int) -> None:
        """The last sequence moves into the slot."""
        last, length = len(self._branches) - 1, self._lengths[-1]
        if number != last:
            for buffers in self._buffers:
                for buffer_SKMD in buffers:
                    buffer_SKMD[number, :, :length] = buffer_SKMD[last, :, :length]
        self._branches[number], self._lengths[number] = self._branches[last], length
        del self._branches[last], self._lengths[last]

    def write(self, ids: Sequence[int]) -> Tensor:
        """One pass over N new tokens, whatever their sequences have in common."""
        if max(self._lengths) == self._num_tokens:
            self._double()
        device = self._network.device
        lengths_N = torch.tensor(self._lengths, device=device)
        starts_N = torch.tensor([len(b.ids) - b.marker[0][0].shape[1] for b in self._branches], device=device)
        own = WrittenTokens(self._buffers, lengths_N, max(self._lengths) + 1)
        layout = Layout(group_by_segment([branch.chain for branch in self._branches]), own)
        ids_N1 = torch.tensor(ids, device=device)[:, None]
        hidden_N1W = self._network.read(ids_N1, (starts_N + lengths_N)[:, None], layout)
        self._lengths = [length + 1 for length in self._lengths]
        return hidden_N1W[:, 0]

    def _room(self, part_KLD: Tensor) -> Tensor:
        num_heads, _, width = part_KLD.shape
        return part_KLD.new_zeros(self._num_slots, num_heads, self._num_tokens, width)

    def _double(self) -> None:
        more = (0, 0, 0, self._num_tokens)
        self._buffers = [(pad(keys, more), pad(values, more)) for keys, values in self._buffers]
        self._num_tokens *= 2


class WrittenTokens:
    """One step: each sequence's new token is put behind its own, and sees them."""

    def __init__(self, buffers: Sequence[LayerCache], lengths_N: Tensor, end: int) -> None:
        """`lengths_N`: how many own tokens each has; `end`: at least one more than the longest."""
        self._buffers = buffers
        self._lengths_N = lengths_N
        self._rows_N = torch.arange(len(lengths_N), device=lengths_N.device)
        self._end = end
        ends_N1 = lengths_N[:, None] + 1
        self._visible_N11S = (torch.arange(self._end, device=lengths_N.device) < ends_N1)[:, None, None]

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


class WholeSlots:
    """For models that are not served: every sequence is read whole for every token. Slow, and as right."""

    def __init__(self, network: Network, budget: TokenBudget) -> None:
        self._network = network
        self._budget = budget
        self._sequences: list[list[int]] = []

    def enter(self, branch: Branch) -> int:
        """Keeps the ids."""
        self._sequences.append(list(branch.ids))
        return len(self._sequences) - 1

    def leave(self, number: int) -> None:
        """The last sequence takes the number."""
        self._sequences[number] = self._sequences[-1]
        del self._sequences[-1]

    def write(self, ids: Sequence[int]) -> Tensor:
        """All sequences, in batches that the budget allows."""
        sequences = [[*sequence, token] for sequence, token in zip(self._sequences, ids, strict=True)]

        def answer(batch: list[int]) -> list[Tensor]:
            return [hidden_TW[-1] for hidden_TW in self._network.read_whole([sequences[index] for index in batch])]

        hidden_NW = torch.stack(self._budget.run([len(sequence) for sequence in sequences], answer))
        self._sequences = sequences
        return hidden_NW
