"""Several short texts in one row, so that little of a batch is padding, where nothing of one text reaches another.

Positions begin at 0 with every text. For most families transformers takes a step back in the positions for the border
of a sequence and masks attention across it; for others (OPT, Falcon, BLOOM) it does not. Which one a model is of is
tried on the model itself, and where texts are not kept apart each has a row of its own.

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
"""Difference of two logits that rounding explains, as a share of their standard deviation; a text that is reached by
another has differences a hundred times larger."""


@torch.no_grad()
def keeps_texts_apart(model: PreTrainedModel, ids: Sequence[int]) -> bool:
    """Whether a text, tried on its first tokens, has behind another in one row the logits that it has alone.

    So it shows whatever might differ: attention across the border, positions that go on, a state that is carried over.
    The model must be whole in this process, not training, and make no cache.
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
    """Rows of T tokens for a causal model: `input_ids`, `labels` and `position_ids`, each (T,) int64."""

    texts: Sequence[TokenisedText]
    rows: Sequence[Sequence[int]]
    """Which texts are in each; more than one only for a model that keeps them apart."""
    max_length: int
    """T; what the texts of a row leave of it is padding."""
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
