"""Several short texts in one row, so that no token of a batch is padding; attention never crosses from one to another.

Positions begin at 0 with every text. That alone keeps texts apart: transformers takes a step back in the positions for
the border of a sequence and masks attention across it.

Shapes: T tokens of a row.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from finetune.tokens import TokenisedText

IGNORED = -100
"""The label of a token that the loss leaves out."""


def pack(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Which texts share a row: longest first, each into the fullest row that has room (best fit decreasing).

    >>> pack([3, 6, 4, 2], 8)
    [[1, 3], [2, 0]]
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens free, row), sorted
    for text in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        length = lengths[text]
        if length > max_length:
            raise ValueError(f"a text of {length} tokens fits no row of {max_length}")
        best = bisect.bisect_left(room, (length, -1))
        free, row = room.pop(best) if best < len(room) else (max_length, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(text)
        bisect.insort(room, (free - length, row))
    return rows


@dataclass(frozen=True)
class PackedRows(Dataset[dict[str, Tensor]]):
    """Rows of `max_length` tokens for a causal model: `input_ids`, `labels` and `position_ids`, each (T,) int64."""

    texts: Sequence[TokenisedText]
    rows: Sequence[Sequence[int]]
    max_length: int
    masks_results: bool
    """Whether the loss leaves out what tools said."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for text in (self.texts[index] for index in self.rows[number]):
            ids += text.ids
            positions += range(len(text.ids))
            # Nothing foretells the first token of a text: what stands before it in the row is another one.
            labels += [IGNORED, *(self._label(text, index) for index in range(1, len(text.ids)))]
        padding = self.max_length - len(ids)
        return {
            "input_ids": torch.tensor([*ids, *[0] * padding]),
            "labels": torch.tensor([*labels, *[IGNORED] * padding]),
            "position_ids": torch.tensor([*positions, *range(padding)]),
        }

    def _label(self, text: TokenisedText, index: int) -> int:
        return IGNORED if self.masks_results and text.is_result[index] else text.ids[index]
