"""Attention in parts over shapes that repeat: who sees which entries, and up to where, is data and never a shape.

A device that replays a recorded step (lm.graphs.step_capture) can only repeat the same operations on the same
memory. So
what
sequences share lies in pages of E entries (lm.graphs.page_arena), and a step goes through it in
blocks: up to R sequences of
one page each. Queries are gathered into the blocks, met with their pages in one batched product, and each sequence
merges what its blocks say. A long text, or one with many samples, makes more blocks, and nobody else's larger. Numbers
of sequences, blocks and pages are rounded up to a few sizes; what is padding is masked by length or never read.

Shapes: N sequences, B blocks, R sequences of a block, E entries of a page, C pages that one sequence sees, M own
tokens; H query heads, K key heads, D head width.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.attention.shared import Attended, attend

# E: an entry more or less costs little, and of a segment's last page half is lost.
PAGE = 64
# R: a larger block stands empty where few samples are left of a text, a smaller one fetches its page for few.
ROWS = 8


def rounded(number: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: at most half as much again.

    >>> [rounded(number) for number in (1, 3, 5, 7, 13, 17, 25)]
    [1, 3, 6, 8, 16, 24, 32]
    """
    power = doubled(number)
    return power * 3 // 4 if power >= 4 and number <= power * 3 // 4 else power


def doubled(number: int) -> int:
    """The next of 1, 2, 4, 8, ..."""
    return 1 << max(0, number - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class StepShape:
    """All sizes of a step: steps with equal ones differ in their numbers alone."""

    num_sequences: int
    """N"""
    num_own: int
    """M"""
    num_blocks: int
    """B"""
    num_pages: int
    """C"""

    def split(self, table: Tensor) -> list[Tensor]:
        """The parts of a step's table: ids, positions, lengths (N,); pages (B,), rows and visible (B·R,), where (N·C,).

        The last four as `Blocks` has them.
        """
        num, places = self.num_sequences, self.num_blocks * ROWS
        return list(table.split([num, num, num, self.num_blocks, places, places, num * self.num_pages]))


@dataclass(frozen=True, eq=False)
class Blocks:
    """Who sees what. Padding is sequence 0, which sees one entry of page 0: finite numbers that nobody reads."""

    pages: np.ndarray
    """(B,)"""
    rows: np.ndarray
    """(B, R): which sequences."""
    visible: np.ndarray
    """(B, R): how many entries of the page each sees."""
    where: np.ndarray
    """(N, C): a sequence's places in the blocks, b·R + r; -1 where it sees fewer pages than others."""

    def padded(self, shape: StepShape) -> list[np.ndarray]:
        """Flat, and of a step's sizes. Rows without a sequence look at the first place."""
        more = shape.num_blocks - len(self.pages)
        num, width = self.where.shape
        where = np.full((shape.num_sequences, shape.num_pages), -1)
        where[num:, 0] = 0
        where[:num, :width] = self.where
        return [
            np.pad(self.pages, (0, more)),
            np.pad(self.rows, ((0, more), (0, 0))).ravel(),
            np.pad(self.visible, ((0, more), (0, 0)), constant_values=1).ravel(),
            where.ravel(),
        ]


def make_blocks(pages_NC: np.ndarray, visible_NC: np.ndarray) -> Blocks:
    """Blocks of sequences that see the pages `pages_NC`, and of each so many entries; none where that is 0.

    Three sequences of which all see page 5 and two page 3 make two blocks:

    >>> blocks = make_blocks(np.array([[5, 3], [5, 0], [5, 3]]), np.array([[64, 7], [64, 0], [60, 9]]))
    >>> blocks.pages.tolist(), blocks.rows[:, :3].tolist(), blocks.visible[:, :3].tolist()
    ([3, 5], [[0, 2, 0], [0, 1, 2]], [[7, 9, 1], [64, 64, 60]])
    >>> blocks.where.tolist()
    [[8, 0], [9, -1], [10, 1]]
    """
    members, columns = np.nonzero(visible_NC)
    pages = pages_NC[members, columns]
    # Small numbers are sorted by their digits, several times as fast.
    order = np.argsort(pages.astype(np.min_scalar_type(pages.max(initial=0))), kind="stable")
    members, columns, pages = members[order], columns[order], pages[order]
    is_new_page = np.diff(pages, prepend=-1) != 0
    counts = np.arange(len(pages))
    ranks = counts - np.maximum.accumulate(np.where(is_new_page, counts, 0))
    is_new_block = ranks % ROWS == 0
    places = (np.cumsum(is_new_block) - 1) * ROWS + ranks % ROWS
    num_blocks = max(1, int(is_new_block.sum()))
    rows, visible = np.zeros(num_blocks * ROWS, dtype=np.int64), np.ones(num_blocks * ROWS, dtype=np.int64)
    rows[places], visible[places] = members, visible_NC[members, columns]
    where = np.full(pages_NC.shape, -1)
    where[members, columns] = places
    pages_B = pages[is_new_block] if len(pages) else np.zeros(1, dtype=np.int64)
    return Blocks(pages_B, rows.reshape(-1, ROWS), visible.reshape(-1, ROWS), where)


class SharedPages:
    """What all sequences see of the pages, in one batched product. Stands where a `Group` of all sequences could."""

    def __init__(self, entries: Tensor, pages_B: Tensor, rows_BR: Tensor, visible_BR: Tensor, where_NC: Tensor) -> None:
        """`entries` (2 L, pages, K, E, D) as in `lm.graphs.page_arena`; the rest as `Blocks` has it, on the device."""
        self.rows_N: Tensor | None = None
        self._entries = entries
        self._pages_B = pages_B
        self._rows_BR = rows_BR
        self._where_NC = where_NC.clamp(min=0)
        self._is_blind_NC1 = (where_NC < 0)[..., None]
        self._visible_BRE = torch.arange(PAGE, device=entries.device) < visible_BR[..., None]

    def attend(self, layer: int, query: Tensor, scale: float) -> Attended:
        """`query` (N, H, 1, D); no weight for a sequence that sees nothing here."""
        keys, values = (self._entries[2 * layer + side].index_select(0, self._pages_B) for side in (0, 1))
        num_heads, width = query.shape[1], query.shape[3]
        num_blocks, num_key_heads = keys.shape[:2]
        per_key_head = num_heads // num_key_heads
        # The query heads of one key head are so many rows more of it.
        rows = query[self._rows_BR].view(num_blocks, ROWS, num_key_heads, per_key_head, width).transpose(1, 2)
        visible = self._visible_BRE.repeat_interleave(per_key_head, dim=1)[:, None]
        folded = rows.reshape(num_blocks, num_key_heads, ROWS * per_key_head, width)
        out, lse = attend(folded, keys, values, scale=scale, visible=visible)
        out_PHD = out.reshape(rows.shape).transpose(1, 2).reshape(-1, num_heads, width)
        lse_PH = lse.reshape(rows.shape[:-1]).transpose(1, 2).reshape(-1, num_heads)
        return self._merge(out_PHD, lse_PH)

    def _merge(self, out_PHD: Tensor, lse_PH: Tensor) -> Attended:
        """Of each sequence what its blocks say of it together; P = B·R places."""
        lse_NCH = lse_PH[self._where_NC].masked_fill(self._is_blind_NC1, -torch.inf)
        total_NH = lse_NCH.logsumexp(1)
        # A sequence that sees nothing at all has no sum to divide by.
        weights_NCH = (lse_NCH - total_NH.clamp(min=torch.finfo(torch.float32).min)[:, None]).exp()
        weights_NH1C = weights_NCH.transpose(1, 2)[:, :, None].to(out_PHD.dtype)
        merged_NH1D = weights_NH1C @ out_PHD[self._where_NC].transpose(1, 2)
        return merged_NH1D, total_NH[..., None]
