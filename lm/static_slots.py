"""Room for the samples that are being written, in steps of shapes that repeat: what a GPU can record and replay.

The same answers as `lm.slots.SharedSlots`. A step is bound there by the number of operations it launches, one handful
for each text and layer; here it is a fixed row of operations over fixed buffers, and all that changes comes in one
table of integers. A sequence that enters or leaves costs one or two copies, whatever the number of layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lm.network import Network
from lm.prompt_reading import Branch, Chain
from lm.shared_attention import LayerCache, Layout
from lm.slots import SharedSlots, Slots, WrittenTokens
from lm.static_attention import Arena, StaticLevel, StepShape, level_table, rounded
from lm.step_capture import Record, Steps


def shared_slots(network: Network, num_slots: int, num_tokens: int) -> Slots:
    """Slots for a model that is served, of the kind that suits it and its device."""
    return (StaticSlots if network.has_static_steps else SharedSlots)(network, num_slots, num_tokens)


def is_uniform(branch: Branch) -> bool:
    """Whether all layers have keys and values of one shape, so that one buffer holds them all."""
    return len({part.shape for layer in branch.marker for part in layer}) == 1


@dataclass(eq=False)
class _Sequence:
    """What is known of a sequence."""

    chain: Chain
    seen: list[tuple[int, int]]
    """Per level the number of its segment, and how many entries it sees."""
    start: int
    """The position of its first own token."""
    length: int
    """How many own tokens it has."""


class StaticSlots:
    """For models that are served and whose layers are all of one shape. Shapes as in lm.static_attention."""

    def __init__(self, network: Network, num_slots: int, num_tokens: int, record: Record | None = None) -> None:
        """Room for `num_slots` sequences of `num_tokens` tokens of their own; longer ones double the room of all.

        `record` records a step, by default as a CUDA graph where the device has such.
        """
        self._network = network
        self._num_slots = num_slots
        self._num_tokens = num_tokens
        self._steps = Steps(self._step, network.device, record)
        self._own = torch.empty(0)
        """(2 L, slots, K, M, D): keys and values of each layer in turn."""
        self._arenas: list[Arena] = []
        self._sequences: list[_Sequence] = []

    def enter(self, branch: Branch) -> int:
        """Copies the start marker's keys and values, and what of its chain no other sequence sees yet."""
        marker = torch.stack([part for layer in branch.marker for part in layer])
        num_parts, num_heads, length, width = marker.shape
        if self._own.dim() != 5:
            self._own = marker.new_zeros(num_parts, self._num_slots, num_heads, self._num_tokens, width)
        slot = len(self._sequences)
        self._own[:, slot, :, :length] = marker
        while len(self._arenas) < len(branch.chain):
            self._arenas.append(Arena(self._steps.forget))
        seen = [(arena.enter(seg), end) for arena, (seg, end) in zip(self._arenas, branch.chain, strict=False)]
        self._sequences.append(_Sequence(branch.chain, seen, len(branch.ids) - length, length))
        return slot

    def leave(self, number: int) -> None:
        """The last sequence moves into the slot."""
        for arena, (segment, _) in zip(self._arenas, self._sequences[number].chain, strict=False):
            arena.leave(segment)
        last, length = len(self._sequences) - 1, self._sequences[-1].length
        if number != last:
            self._own[:, number, :, :length] = self._own[:, last, :, :length]
        self._sequences[number] = self._sequences[-1]
        del self._sequences[-1]

    def write(self, ids: Sequence[int]) -> Tensor:
        """One pass over N new tokens, whatever their sequences have in common."""
        if max(sequence.length for sequence in self._sequences) == self._num_tokens:
            self._own = pad(self._own, (0, 0, 0, self._num_tokens))
            self._num_tokens *= 2
            self._steps.forget()
        shape, table = self._table(ids)
        # A replay asks the network for nothing, a recording more often than once: either way these were read.
        num_tokens_read = self._network.num_tokens_read + len(ids)
        hidden_NW = self._steps.run(shape, table)
        self._network.num_tokens_read = num_tokens_read
        for sequence in self._sequences:
            sequence.length += 1
        return hidden_NW[: len(ids)]

    def _table(self, ids: Sequence[int]) -> tuple[StepShape, Tensor]:
        """Everything that a step is told. A row without a sequence writes into a slot that is free."""
        num = min(rounded(len(ids)), self._num_slots)
        columns = np.zeros((3, num), dtype=np.int64)
        lengths = np.array([sequence.length for sequence in self._sequences])
        columns[:, : len(ids)] = ids, lengths + [sequence.start for sequence in self._sequences], lengths
        levels = [
            level_table([one.seen[depth] if depth < len(one.seen) else None for one in self._sequences], num)
            for depth in range(max(len(one.seen) for one in self._sequences))
        ]
        shape = StepShape(num_sequences=num, num_own=self._num_tokens, levels=tuple(level for level, _ in levels))
        return shape, torch.from_numpy(np.concatenate([*columns, *(part for _, parts in levels for part in parts)]))

    def _step(self, shape: StepShape, table: Tensor) -> Tensor:
        """Hidden states (N, W). Asks the device for nothing, and allocates by the shape alone."""
        ids_N, positions_N, lengths_N, *parts = shape.split(table)
        levels = [
            [StaticLevel(arena.entries, level, *parts[3 * depth : 3 * depth + 3])]
            for depth, (arena, level) in enumerate(zip(self._arenas, shape.levels, strict=False))
        ]
        own = WrittenTokens(_layers(self._own), lengths_N, shape.num_own)
        return self._network.read(ids_N[:, None], positions_N[:, None], Layout(levels, own))[:, 0]


def _layers(parts: Tensor) -> list[LayerCache]:
    return list(zip(parts[::2], parts[1::2], strict=True))
