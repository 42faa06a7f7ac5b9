"""Attention in parts over shapes that repeat: who sees which segment, and up to where, is data and never a shape.

A device that replays a recorded step (lm.step_capture) can only repeat the same operations on the same memory. So
segments are copied, once each, into one buffer per level; their sequences' queries are gathered into a block of R rows
a segment, met with all segments in one batched product, and put back. Numbers of rows, segments and entries are
rounded up to a few sizes; what is padding is masked by length or never read.

Shapes: N sequences, G segments, R sequences of one segment, S entries of a segment, M own tokens; H query heads,
K key heads, D head width, L layers.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lm.shared_attention import Attended, Segment, attend

# A segment's entries are rounded up to at least this many: short prompts all have one shape.
LEAST_ENTRIES = 64


def rounded(number: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: at most half as much again.

    >>> [rounded(number) for number in (1, 3, 5, 7, 13, 17, 25)]
    [1, 3, 6, 8, 16, 24, 32]
    """
    power = 1 << max(0, number - 1).bit_length()
    return power * 3 // 4 if power >= 4 and number <= power * 3 // 4 else power


@dataclass(frozen=True, kw_only=True)
class LevelShape:
    """The sizes of one level of shared segments."""

    num_segments: int
    num_rows: int
    num_entries: int


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """All sizes of a step: steps with equal ones differ in their numbers alone."""

    num_sequences: int
    num_own: int
    levels: tuple[LevelShape, ...]

    def split(self, table: Tensor) -> list[Tensor]:
        """The parts of a step's table: ids, positions, lengths (N,); per level rows, visible (G·R,) and where (N,)."""
        num, blocks = self.num_sequences, [level.num_segments * level.num_rows for level in self.levels]
        return list(table.split([num] * 3 + [size for block in blocks for size in (block, block, num)]))


class Arena:
    """The segments of one level that sequences see now, side by side in one buffer."""

    def __init__(self, on_growth: Callable[[], None]) -> None:
        """`on_growth` is called when the buffer has moved."""
        self._on_growth = on_growth
        self._numbers: dict[Segment, int] = {}
        self._num_seeing: dict[Segment, int] = {}
        self._free: list[int] = []
        self.entries = torch.empty(0)
        """(2 L, G, K, S, D): keys and values of each layer in turn. Zeros where nothing was written."""

    def enter(self, segment: Segment) -> int:
        """One sequence more sees the segment; its number, the lowest that is free if it is new."""
        if segment not in self._numbers:
            number = heapq.heappop(self._free) if self._free else len(self._numbers)
            self._make_room(segment, number + 1)
            for entries_GKSD, part_KSD in zip(self.entries, _parts(segment), strict=True):
                entries_GKSD[number, :, : len(segment)] = part_KSD
            self._numbers[segment] = number
        self._num_seeing[segment] = self._num_seeing.get(segment, 0) + 1
        return self._numbers[segment]

    def leave(self, segment: Segment) -> None:
        """One sequence less; what nobody sees gives up its number."""
        self._num_seeing[segment] -= 1
        if not self._num_seeing[segment]:
            del self._num_seeing[segment]
            heapq.heappush(self._free, self._numbers.pop(segment))

    def _make_room(self, segment: Segment, num_segments: int) -> None:
        part_KSD = segment.layers[0][0]
        before = self.entries
        held, entries = (before.shape[1], before.shape[3]) if before.dim() == 5 else (0, 0)
        if num_segments <= held and len(segment) <= entries:
            return
        num_segments = max(held, rounded(num_segments))
        num_entries = max(entries, rounded(max(len(segment), LEAST_ENTRIES)))
        num_heads, _, width = part_KSD.shape
        self.entries = part_KSD.new_zeros(2 * len(segment.layers), num_segments, num_heads, num_entries, width)
        if held:
            self.entries[:, :held, :, :entries] = before
        self._on_growth()


def level_table(seen: Sequence[tuple[int, int] | None], num_sequences: int) -> tuple[LevelShape, list[np.ndarray]]:
    """Who sees what in one level: its shape, and `rows`, `visible`, `where` as StepShape.split names them.

    `seen`: per sequence the number of its segment and how many entries it sees, or None. Block g, r of `rows` is the
    r-th sequence of segment g and `visible` what it sees of it; `where` is a sequence's block, -1 if it has none.
    Padding is sequence 0, which sees one entry: finite numbers that nobody reads.

    >>> shape, (rows, visible, where) = level_table([(1, 5), None, (0, 7), (1, 6)], 4)
    >>> shape.num_segments, shape.num_rows, rows.tolist(), visible.tolist(), where.tolist()
    (2, 2, [2, 0, 0, 3], [7, 1, 5, 6], [2, -1, 0, 3])
    """
    members = np.array([n for n, one in enumerate(seen) if one is not None], dtype=np.int64)
    numbers, lengths = (np.array([one[side] for one in seen if one is not None], dtype=np.int64) for side in (0, 1))
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers, minlength=1)
    ranks = np.empty_like(numbers)
    ranks[order] = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = LevelShape(
        num_segments=rounded(len(counts)),
        num_rows=rounded(int(counts.max())),
        num_entries=rounded(max(LEAST_ENTRIES, int(lengths.max(initial=1)))),
    )
    blocks = numbers * shape.num_rows + ranks
    rows = np.zeros(shape.num_segments * shape.num_rows, dtype=np.int64)
    visible = np.ones_like(rows)
    where = np.full(num_sequences, -1, dtype=np.int64)
    rows[blocks], visible[blocks], where[members] = members, lengths, blocks
    return shape, [rows, visible, where]


class StaticLevel:
    """What all sequences see of one level, in one batched product. Stands where a `Group` of all sequences could."""

    def __init__(self, entries: Tensor, shape: LevelShape, rows: Tensor, visible: Tensor, where: Tensor) -> None:
        """`entries` as in `Arena`; the rest as `level_table` has it, on the device."""
        self.rows_N: Tensor | None = None
        self._entries = entries[:, : shape.num_segments, :, : shape.num_entries]
        self._shape = shape
        self._rows = rows
        self._where = where.clamp(min=0)
        self._is_blind_N11 = (where < 0)[:, None, None]
        ends_GR1 = visible.view(shape.num_segments, shape.num_rows)[..., None]
        self._visible_GRS = torch.arange(shape.num_entries, device=entries.device) < ends_GR1

    def attend(self, layer: int, query: Tensor, scale: float) -> Attended:
        """`query` (N, H, 1, D); no weight for a sequence that sees nothing here."""
        keys, values = self._entries[2 * layer], self._entries[2 * layer + 1]
        num_segments, num_rows = self._shape.num_segments, self._shape.num_rows
        num_heads, num_key_heads, width = query.shape[1], keys.shape[1], query.shape[-1]
        per_key_head = num_heads // num_key_heads
        # The query heads of one key head are so many rows more of it.
        rows = query[self._rows].view(num_segments, num_rows, num_key_heads, per_key_head, width).transpose(1, 2)
        visible = self._visible_GRS.repeat_interleave(per_key_head, dim=1)[:, None]
        folded = rows.reshape(num_segments, num_key_heads, num_rows * per_key_head, width)
        out, lse = attend(folded, keys, values, scale=scale, visible=visible)
        out = out.reshape(rows.shape).transpose(1, 2).reshape(-1, num_heads, 1, width)[self._where]
        lse = lse.reshape(rows.shape[:-1]).transpose(1, 2).reshape(-1, num_heads, 1)[self._where]
        return out, lse.masked_fill(self._is_blind_N11, -torch.inf)


def _parts(segment: Segment) -> list[Tensor]:
    return [part for layer in segment.layers for part in layer]
