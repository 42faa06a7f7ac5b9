"""Packing: several short texts share one row, so that little of a batch is padding; attention stays within a text.

Position ids restart at 0 with every text. For most model families transformers takes that as the border of a sequence
and masks attention across it; for others (OPT, Falcon, BLOOM) it does not. Which of the two a model does is tested on
the model itself; where it does not mask, each text has a row of its own.

Shapes: B rows, T tokens of a row, V vocabulary entries.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from toolformer_ray.finetune.tokens import TokenisedText

IGNORED = -100
"""The label of a token that the loss leaves out."""
NUM_TRIED_TOKENS = 8
MOST_ROUNDING = 1e-3
"""Largest difference of two logits that rounding explains, as a share of their standard deviation. Where attention
crosses from text to text, differences are a hundred times larger."""


@torch.no_grad()
def keeps_texts_apart(model: PreTrainedModel, ids: Sequence[int]) -> bool:
    """Whether the first tokens of a text have the same logits behind another text in a row as alone.

    That covers every way in which they might differ: attention across the border, position ids that are ignored, a
    state that is carried over. The model must be unsharded, in evaluation mode and without a key-value cache.
    """
    tried = list(ids[:NUM_TRIED_TOKENS])
    length, vocabulary_size = len(tried), model.config.get_text_config().vocab_size
    other, padding = [(token + 1) % vocabulary_size for token in tried], [0] * length
    ids_BT = torch.tensor([[*other, *tried], [*tried, *padding]], device=model.device)
    positions_BT = torch.arange(length, device=model.device).repeat(2, 2)
    logits_BTV = model(input_ids=ids_BT, position_ids=positions_BT).logits
    shared_TV, alone_TV = logits_BTV[0, length:], logits_BTV[1, :length]
    return bool((shared_TV - alone_TV).abs().max() <= MOST_ROUNDING * alone_TV.std())


def pack(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Which texts share each row, by best fit decreasing: longest first, each into the fullest row that has room.

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
    """Rows of T tokens for a causal model: `input_ids`, `labels` and `position_ids`, each (T,) int64."""

    texts: Sequence[TokenisedText]
    rows: Sequence[Sequence[int]]
    """The numbers of the texts in each row; more than one only for a model that keeps them apart."""
    max_length: int
    """T; rows are padded to it."""
    masks_results: bool
    """Whether the loss leaves out the results of tools."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        ids: list[int] = []
        labels: list[int] = []
        positions: list[int] = []
        for text in (self.texts[index] for index in self.rows[number]):
            ids += text.ids
            positions += range(len(text.ids))
            # The first token of a text has no label: the token before it in the row is another text's.
            labels += [IGNORED, *(self._label(text, index) for index in range(1, len(text.ids)))]
        padding = self.max_length - len(ids)
        return {
            "input_ids": torch.tensor([*ids, *[0] * padding]),
            "labels": torch.tensor([*labels, *[IGNORED] * padding]),
            "position_ids": torch.tensor([*positions, *range(padding)]),
        }

    def _label(self, text: TokenisedText, index: int) -> int:
        return IGNORED if self.masks_results and text.is_result[index] else text.ids[index]
