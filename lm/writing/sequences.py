"""The sequences that are being written, one token each per decode step: with a KV cache, or read anew every time.

A sequence may begin with segments that others share, as samples from one prompt do, and has its own keys and values
behind them; it can leave its slot with these and come back. Shapes: N sequences in slots, K key heads, L tokens, D head
width, W hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

from toolformer_ray.lm.attention.cache import CachedSequence, Chain, LayerCache
from toolformer_ray.lm.attention.visibility import Layout, SlotTokens
from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network

TOKENS_PER_SLOT = 16
"""How many tokens of its own a sequence has room for at first: enough for most calls. Longer ones double the room."""


class Sequences(Protocol):
    """Slots numbered from 0; where a sequence leaves, the last one takes its number."""

    def enter(self, sequence: CachedSequence) -> int:
        """Put a sequence into the next slot; the slot's number."""

    def copy(self, number: int) -> CachedSequence:
        """The sequence in a slot as it is now; it stays there."""

    def leave(self, number: int) -> None:
        """Free a slot."""

    def shorten(self, number: int, length: int) -> None:
        """Forget all but the first tokens of a sequence."""

    def write(self, ids: Sequence[int]) -> Tensor:
        """Decode step: append one token to every sequence; the hidden states (N, W) after it."""


@dataclass
class _Slot:
    ids: list[int]
    """All tokens of the sequence."""
    chain: Chain
    num_shared: int
    """How many of them are in the shared segments of the chain; the keys and values of the others are in the slot."""

    @property
    def num_own(self) -> int:
        return len(self.ids) - self.num_shared


class CachedSequences:
    """For models with a KV cache: one buffer per layer for what is the sequences' own."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._slots: list[_Slot] = []
        self._buffers: list[LayerCache] = []
        """Per layer keys and values, (slots, K, tokens, D)."""

    def enter(self, sequence: CachedSequence) -> int:
        """Copies the sequence's own keys and values into the slot."""
        slot = _Slot(list(sequence.ids), sequence.chain, sequence.num_shared)
        if not self._buffers:
            self._buffers = [
                (keys.new_zeros(0, *keys[:, :0].shape), values.new_zeros(0, *values[:, :0].shape))
                for keys, values in sequence.layers
            ]
        self._make_room(len(self._slots) + 1, slot.num_own)
        for buffers, parts in zip(self._buffers, sequence.layers, strict=True):
            for buffer, part_KLD in zip(buffers, parts, strict=True):
                buffer[len(self._slots), :, : slot.num_own] = part_KLD
        self._slots.append(slot)
        return len(self._slots) - 1

    def copy(self, number: int) -> CachedSequence:
        """Copies its keys and values out of the slot."""
        slot = self._slots[number]
        parts = [(keys[number, :, : slot.num_own], values[number, :, : slot.num_own]) for keys, values in self._buffers]
        return CachedSequence(list(slot.ids), slot.chain, [(keys.clone(), values.clone()) for keys, values in parts])

    def leave(self, number: int) -> None:
        """Moves the last sequence into the slot."""
        last = self._slots.pop()
        if number == len(self._slots):
            return
        for buffers in self._buffers:
            for buffer in buffers:
                buffer[number, :, : last.num_own] = buffer[len(self._slots), :, : last.num_own]
        self._slots[number] = last

    def shorten(self, number: int, length: int) -> None:
        """Keys and values behind the length are not looked at, and are overwritten."""
        del self._slots[number].ids[length:]

    def write(self, ids: Sequence[int]) -> Tensor:
        """One pass over N new tokens; a shared segment is attended to once for all sequences that begin with it."""
        device, lengths = self._network.device, [slot.num_own for slot in self._slots]
        self._make_room(len(ids), max(lengths) + 1)
        positions = [len(slot.ids) for slot in self._slots]
        layout = Layout([slot.chain for slot in self._slots], SlotTokens(self._buffers, lengths, device))
        ids_N1, position_N1 = (torch.tensor(column, device=device)[:, None] for column in (ids, positions))
        hidden_N1W = self._network.read(ids_N1, position_N1, layout)
        for slot, token in zip(self._slots, ids, strict=True):
            slot.ids.append(token)
        return hidden_N1W[:, 0]

    def _make_room(self, num_slots: int, num_tokens: int) -> None:
        """Twice the slots, or twice the tokens of each, where there are too few; one layer after the other."""
        have_slots, _, have_tokens, _ = self._buffers[-1][0].shape
        more_slots = max(num_slots, 2 * have_slots) - have_slots if num_slots > have_slots else 0
        longer = max(num_tokens, 2 * have_tokens, TOKENS_PER_SLOT)
        more_tokens = longer - have_tokens if num_tokens > have_tokens else 0
        if more_slots or more_tokens:
            sides = (0, 0, 0, more_tokens, 0, 0, 0, more_slots)
            for layer, (keys, values) in enumerate(self._buffers):
                self._buffers[layer] = pad(keys, sides), pad(values, sides)


class UncachedSequences:
    """For models without: every sequence is read as a whole for every token. Slow, and as exact."""

    def __init__(self, network: Network, budget: TokenBudget) -> None:
        self._network = network
        self._budget = budget
        self._ids: list[list[int]] = []

    def enter(self, sequence: CachedSequence) -> int:
        """Keeps the ids."""
        self._ids.append(list(sequence.ids))
        return len(self._ids) - 1

    def copy(self, number: int) -> CachedSequence:
        """The ids."""
        return CachedSequence(list(self._ids[number]))

    def leave(self, number: int) -> None:
        """Moves the last sequence into the slot."""
        last = self._ids.pop()
        if number < len(self._ids):
            self._ids[number] = last

    def shorten(self, number: int, length: int) -> None:
        """Cuts the ids."""
        del self._ids[number][length:]

    def write(self, ids: Sequence[int]) -> Tensor:
        """Reads all sequences, in batches that the budget allows."""
        longer = [[*sequence, token] for sequence, token in zip(self._ids, ids, strict=True)]

        def answer(batch: list[int]) -> list[Tensor]:
            return [hidden_TW[-1] for hidden_TW in self._network.read_whole([longer[index] for index in batch])]

        hidden_NW = torch.stack(self._budget.run([len(sequence) for sequence in longer], answer))
        self._ids = longer
        return hidden_NW


def new_sequences(network: Network, budget: TokenBudget) -> Sequences:
    """Empty slots of the kind that suits the model."""
    return CachedSequences(network) if network.has_kv_cache else UncachedSequences(network, budget)
