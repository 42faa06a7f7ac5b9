"""Sequences that go on for long, each with keys and values of its own: in a slot while it is written, kept while not.

Unlike samples (lm.writing.slots), which share what they go on from, these grow apart, wait, are cut back and come
again. Shapes: N sequences in slots, R sequences that are read on; K key heads, L tokens, D head width, W hidden width.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from toolformer_ray.lm.attention.shared import LayerCache, Layout
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.writing.own_tokens import Continuing, InSlots, Kept

FIRST_ROOM = 64


class KeptSequences(Protocol):
    """Slots are numbered from 0; where a sequence leaves, the last takes its number."""

    def read(self, before: Sequence[Kept], runs: Sequence[Sequence[int]]) -> list[tuple[Kept, Tensor]]:
        """Read a run of tokens behind each of R sequences, none of them in a slot; the hidden state (W,) at its end."""

    def enter(self, kept: Kept) -> int:
        """The number of its slot, the next one."""

    def leave(self, number: int) -> Kept:
        """Out of its slot, with what has been read of it."""

    def drop(self, number: int) -> None:
        """Out of its slot, and forgotten."""

    def shorten(self, number: int, length: int) -> None:
        """Only its first tokens have been read."""

    def write(self, ids: Sequence[int]) -> Tensor:
        """Append one token to each sequence in a slot; the hidden states (N, W) after it."""


class CachedSequences:
    """For models that are served."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ids: list[list[int]] = []
        self._buffers: list[LayerCache] = []

    def read(self, before: Sequence[Kept], runs: Sequence[Sequence[int]]) -> list[tuple[Kept, Tensor]]:
        """One pass, padded on the right."""
        lengths = [len(kept.ids) for kept in before]
        own = Continuing(before, self._network.device)
        ids_RL = self._network.pad(runs)
        position_RL = own.lengths_R[:, None] + torch.arange(ids_RL.shape[1], device=ids_RL.device)
        # Padding is never seen, but a position beyond the window would have no embedding.
        last_R1 = own.lengths_R[:, None] + torch.tensor([[len(run) - 1] for run in runs], device=ids_RL.device)
        hidden_RLW = self._network.read(ids_RL, torch.minimum(position_RL, last_R1), Layout([], own))
        read = []
        for row, (kept, run, length) in enumerate(zip(before, runs, lengths, strict=True)):
            new = [(keys[row, :, : len(run)], values[row, :, : len(run)]) for keys, values in own.new]
            layers = _joined(kept.layers, new) if length else [(k.clone(), v.clone()) for k, v in new]
            read.append((Kept([*kept.ids, *run], layers), hidden_RLW[row, len(run) - 1]))
        return read

    def enter(self, kept: Kept) -> int:
        """Copies its keys and values into the slot."""
        slot, length = len(self._ids), len(kept.ids)
        if not self._buffers:
            self._buffers = [
                (keys.new_zeros(0, *keys[:, :0].shape), values.new_zeros(0, *values[:, :0].shape))
                for keys, values in kept.layers
            ]
        self._make_room(slot + 1, length)
        for buffers, parts in zip(self._buffers, kept.layers, strict=True):
            for buffer_SKMD, part_KLD in zip(buffers, parts, strict=True):
                buffer_SKMD[slot, :, :length] = part_KLD
        self._ids.append(list(kept.ids))
        return slot

    def leave(self, number: int) -> Kept:
        """Copies its keys and values out of the slot."""
        ids = self._ids[number]
        kept = [(k[number, :, : len(ids)].clone(), v[number, :, : len(ids)].clone()) for k, v in self._buffers]
        self.drop(number)
        return Kept(ids, kept)

    def drop(self, number: int) -> None:
        """The last sequence moves into the slot."""
        last, length = len(self._ids) - 1, len(self._ids[-1])
        if number != last:
            for buffers in self._buffers:
                for buffer_SKMD in buffers:
                    buffer_SKMD[number, :, :length] = buffer_SKMD[last, :, :length]
        self._ids[number] = self._ids[last]
        del self._ids[last]

    def shorten(self, number: int, length: int) -> None:
        """What lies behind is not looked at, and written over."""
        del self._ids[number][length:]

    def write(self, ids: Sequence[int]) -> Tensor:
        """One pass over N new tokens."""
        lengths = [len(sequence) for sequence in self._ids]
        self._make_room(len(ids), max(lengths) + 1)
        lengths_N = torch.tensor(lengths, device=self._network.device)
        own = InSlots(self._buffers, lengths_N)
        ids_N1 = torch.tensor(ids, device=self._network.device)[:, None]
        hidden_N1W = self._network.read(ids_N1, lengths_N[:, None], Layout([], own))
        for sequence, token in zip(self._ids, ids, strict=True):
            sequence.append(token)
        return hidden_N1W[:, 0]

    def _make_room(self, num_slots: int, length: int) -> None:
        """Twice the slots, or twice the tokens of each, where there are too few."""
        have_slots, _, have_tokens, _ = self._buffers[0][0].shape
        more_slots = max(num_slots, 2 * have_slots) - have_slots if num_slots > have_slots else 0
        more_tokens = max(length, 2 * have_tokens, FIRST_ROOM) - have_tokens if length > have_tokens else 0
        if more_slots or more_tokens:
            sides = (0, 0, 0, more_tokens, 0, 0, 0, more_slots)
            self._buffers = [(pad(keys, sides), pad(values, sides)) for keys, values in self._buffers]


class WholeSequences:
    """For models that are not served: every sequence is read whole for every token. Slow, and as right."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._ids: list[list[int]] = []

    def read(self, before: Sequence[Kept], runs: Sequence[Sequence[int]]) -> list[tuple[Kept, Tensor]]:
        """All of each sequence."""
        whole = [[*kept.ids, *run] for kept, run in zip(before, runs, strict=True)]
        hidden = self._network.read_whole(whole)
        return [(Kept(ids), hidden_TW[-1]) for ids, hidden_TW in zip(whole, hidden, strict=True)]

    def enter(self, kept: Kept) -> int:
        """Keeps the ids."""
        self._ids.append(list(kept.ids))
        return len(self._ids) - 1

    def leave(self, number: int) -> Kept:
        """Its ids."""
        kept = Kept(self._ids[number])
        self.drop(number)
        return kept

    def drop(self, number: int) -> None:
        """The last sequence takes the number."""
        self._ids[number] = self._ids[-1]
        del self._ids[-1]

    def shorten(self, number: int, length: int) -> None:
        """Cuts the ids."""
        del self._ids[number][length:]

    def write(self, ids: Sequence[int]) -> Tensor:
        """All of every sequence again, one after the other: batches of any size would need a budget."""
        for sequence, token in zip(self._ids, ids, strict=True):
            sequence.append(token)
        return torch.stack([self._network.read_whole([sequence])[0][-1] for sequence in self._ids])


def _joined(before: Sequence[LayerCache], new: Sequence[LayerCache]) -> list[LayerCache]:
    return [
        (torch.cat([old[0], added[0]], dim=1), torch.cat([old[1], added[1]], dim=1))
        for old, added in zip(before, new, strict=True)
    ]
