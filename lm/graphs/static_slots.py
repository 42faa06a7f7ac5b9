"""Room for the samples that are being written, in steps of shapes that repeat: what a GPU can record and replay.

The same answers as `lm.writing.slots.SharedSlots`. A step is bound there by the number of operations it launches,
one handful
for each text and layer; here it is a fixed row of operations over fixed buffers, and all that changes comes in one
table of integers. A sequence that enters or leaves costs a few copies, whatever the number of layers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.attention.shared import LayerCache, Layout
from toolformer_ray.lm.graphs.static_attention import PAGE, ROWS, SharedPages, StepShape, doubled, make_blocks, rounded
from toolformer_ray.lm.graphs.static_room import Room
from toolformer_ray.lm.graphs.step_capture import Record, Recorder
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.scoring.prompt_reading import Branch, Chain
from toolformer_ray.lm.writing.slots import SharedSlots, Slots, WrittenTokens


def shared_slots(network: Network, num_slots: int, num_tokens: int) -> Slots:
    """Slots for a model that is served, of the kind that suits it and its device."""
    return (StaticSlots if network.has_static_steps else SharedSlots)(network, num_slots, num_tokens)


def is_uniform(branch: Branch) -> bool:
    """Whether all layers have keys and values of one shape, so that one buffer holds them all."""
    return len({part.shape for layer in branch.marker for part in layer}) == 1


class StaticSlots:
    """For models that are served and whose layers are all of one shape. Shapes as in lm.graphs.static_attention."""

    def __init__(self, network: Network, num_slots: int, num_tokens: int, record: Record | None = None) -> None:
        """Room for `num_slots` sequences of `num_tokens` tokens of their own; longer ones double the room of all.

        `record` records a step, by default as a CUDA graph where the device has such.
        """
        self._network = network
        self._num_slots = num_slots
        self._num_tokens = num_tokens
        self._recorder = network.recorder if record is None else Recorder(network.device, record)
        self._room: Room | None = None
        self._give_up_other_sizes()
        self._chains: list[Chain] = []
        self._lengths = np.zeros(num_slots, dtype=np.int64)
        """How many own tokens each sequence has."""
        self._starts = np.zeros(num_slots, dtype=np.int64)
        """The position of its first own token."""
        self._pages = np.zeros((num_slots, 1), dtype=np.int64)
        """(slots, C): the pages it sees, in any order."""
        self._visible = np.zeros((num_slots, 1), dtype=np.int64)
        """(slots, C): how many entries of each; 0 where there is none."""

    def __len__(self) -> int:
        return len(self._chains)

    @property
    def is_full(self) -> bool:
        """Whether another text may find no room beside those that are here, so that the room would have to grow."""
        return len(self) > 0 and self._room is not None and self._room.arena.is_full

    def enter(self, branch: Branch) -> int:
        """Copies the start marker's keys and values, and what of its chain no other sequence sees yet."""
        room = self._take_room() if not len(self) or self._room is None else self._room
        marker = torch.stack([part for layer in branch.marker for part in layer])
        length, slot = marker.shape[2], len(self)
        room.make_own(marker)
        room.own[:, slot, :, :length] = marker
        pages = [(room.arena.enter(segment, room.steps.forget), end) for segment, end in branch.chain]
        self._see(slot, pages)
        self._lengths[slot], self._starts[slot] = length, len(branch.ids) - length
        self._chains.append(branch.chain)
        return slot

    def leave(self, number: int) -> None:
        """The last sequence moves into the slot."""
        room, last = self._taken(), len(self) - 1
        for segment, _ in self._chains[number]:
            room.arena.leave(segment)
        if number != last:
            length = self._lengths[last]
            room.own[:, number, :, :length] = room.own[:, last, :, :length]
            for column in (self._lengths, self._starts, self._pages, self._visible):
                column[number] = column[last]
        self._chains[number] = self._chains[last]
        del self._chains[last]

    def write(self, ids: Sequence[int]) -> Tensor:
        """One pass over N new tokens, whatever their sequences have in common."""
        room, num = self._taken(), len(self)
        if self._lengths[:num].max() == room.num_tokens:
            room.double_own()
        shape, table = self._table(ids)
        # A replay asks the network for nothing, a recording more often than once: either way these were read.
        num_tokens_read = self._network.num_tokens_read + shape.num_sequences
        hidden_NW = room.steps.run(shape, table, self._step)
        self._network.num_tokens_read = num_tokens_read
        self._lengths[:num] += 1
        return hidden_NW[:num]

    def _taken(self) -> Room:
        if self._room is None:
            raise RuntimeError("no sequence has entered")
        return self._room

    def _take_room(self) -> Room:
        """The model's, if it has the size and is free; else a new one, which the model keeps in its place."""
        room = self._network.room if self._recorder is self._network.recorder else self._room
        if room is None or not room.suits(self, self._num_slots, self._num_tokens):
            room = Room(self._num_slots, self._num_tokens, self._network.device, self._recorder)
        if self._recorder is self._network.recorder:
            self._network.room = room
        room.take(self)
        self._room = room
        return room

    def _give_up_other_sizes(self) -> None:
        """A room of another size holds memory that nobody will use."""
        kept = self._network.room
        if (
            kept is not None
            and self._recorder is self._network.recorder
            and not kept.has_size(self._num_slots, self._num_tokens)
        ):
            self._network.room = None

    def _see(self, slot: int, seen: Sequence[tuple[np.ndarray, int]]) -> None:
        """Note which pages a sequence sees, and how far."""
        # Of a segment of which it sees 70 entries, these are 64 of the first page and 6 of the second.
        parts = [(pages[: -(-end // PAGE)], end) for pages, end in seen]
        pages = np.concatenate([part for part, _ in parts]) if parts else np.zeros(0, dtype=np.int64)
        visible = [min(PAGE, end - PAGE * n) for part, end in parts for n in range(len(part))]
        if (more := len(pages) - self._pages.shape[1]) > 0:
            self._pages, self._visible = (np.pad(one, ((0, 0), (0, more))) for one in (self._pages, self._visible))
        self._visible[slot] = 0
        self._pages[slot, : len(pages)], self._visible[slot, : len(pages)] = pages, visible

    def _table(self, ids: Sequence[int]) -> tuple[StepShape, Tensor]:
        """Everything that a step is told. A row without a sequence writes into a slot that is free."""
        num = len(ids)
        visible = self._visible[:num]
        width = max(1, int((visible > 0).sum(1).max()))
        blocks = make_blocks(self._pages[:num, :width], visible[:, :width])
        shape = StepShape(
            num_sequences=min(doubled(num), self._num_slots),
            num_own=self._taken().num_tokens,
            num_blocks=doubled(len(blocks.pages)),
            num_pages=rounded(width),
        )
        columns = np.zeros((3, shape.num_sequences), dtype=np.int64)
        columns[:, :num] = ids, self._lengths[:num] + self._starts[:num], self._lengths[:num]
        return shape, torch.from_numpy(np.concatenate([*columns, *blocks.padded(shape)]))

    def _step(self, shape: StepShape, table: Tensor) -> Tensor:
        """Hidden states (N, W). Asks the device for nothing, and allocates by the shape alone."""
        ids_N, positions_N, lengths_N, pages_B, rows, visible, where = shape.split(table)
        room = self._taken()
        shared = SharedPages(
            room.arena.entries, pages_B, rows.view(-1, ROWS), visible.view(-1, ROWS), where.view(-1, shape.num_pages)
        )
        own = WrittenTokens(_layers(room.own), lengths_N, shape.num_own)
        return self._network.read(ids_N[:, None], positions_N[:, None], Layout([[shared]], own))[:, 0]


def _layers(parts: Tensor) -> list[LayerCache]:
    return list(zip(parts[::2], parts[1::2], strict=True))
