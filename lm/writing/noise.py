"""Random choices that depend on a key alone, not on the batch: Gumbel-max in two levels.

The vocabulary of V entries is cut into blocks of about sqrt(V) entries. Gumbel-max over the blocks' summed
probabilities chooses the block, Gumbel-max inside the block the token. Since p(token) = p(block) p(token | block), this
draws from the model's own distribution, with 2 sqrt(V) random numbers instead of V. Unlike a search in the cumulative
distribution it is hardly sensitive to rounding: the best of n perturbed scores leads the second by an
Exp(1)-distributed gap.

Shapes: R rows, V vocabulary entries, B blocks, S entries of a block.
"""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

TIE_MARGIN = 1e-4
"""A choice whose best two scores are closer than this could fall otherwise in a batch of another shape."""

# One call makes the numbers of several steps, as a call costs more than the numbers of one step. A sampled call has
# some 14 tokens, and what is made beyond its end is wasted. The first step is made by itself: many more samples wait
# with their first token drawn than are being written, and the numbers of eight steps are 50 kB.
STEPS_AT_ONCE = 8


class Noise:
    """The random numbers of one text: those of step t do not depend on other texts."""

    def __init__(self, key: int, vocabulary_size: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._count = sum(block_shape(vocabulary_size))
        self._num_next = 1
        self._made: deque[np.ndarray] = deque()

    def step(self) -> np.ndarray:
        """Standard Gumbel numbers of the next step, float64: one per block, then one per entry of a block."""
        if not self._made:
            uniform = np.maximum(self._generator.random((self._num_next, self._count)), 2.0**-54)
            self._made.extend(-np.log(-np.log(uniform)))
            self._num_next = STEPS_AT_ONCE
        return self._made.popleft()


def block_shape(vocabulary_size: int) -> tuple[int, int]:
    """(blocks, entries per block); the last block may be short."""
    size = math.isqrt(vocabulary_size - 1) + 1
    return -(-vocabulary_size // size), size


def in_blocks(logits_RV: Tensor) -> Tensor:
    """The logits (R, B, S) cut into blocks; what the last one lacks is minus infinity."""
    num_blocks, size = block_shape(logits_RV.shape[1])
    missing = num_blocks * size - logits_RV.shape[1]
    scores_RV = torch.nn.functional.pad(logits_RV, (0, missing), value=-math.inf) if missing else logits_RV
    return scores_RV.view(len(logits_RV), num_blocks, size)


def draw(logits_RV: Tensor, noise: Sequence[np.ndarray]) -> tuple[list[int], list[bool]]:
    """One token per row, and whether the choice was closer than TIE_MARGIN; `noise` has the numbers of a step each."""
    num_blocks, size = block_shape(logits_RV.shape[1])
    noise_RN = torch.from_numpy(np.stack(noise)).to(logits_RV.device)
    scores_RBS = in_blocks(logits_RV)
    blocks_R, is_close_R = _best(scores_RBS.logsumexp(-1).double() + noise_RN[:, :num_blocks])
    inside_RS = scores_RBS[torch.arange(len(noise), device=logits_RV.device), blocks_R].double()
    entries_R, is_close_inside_R = _best(inside_RS + noise_RN[:, num_blocks:])
    return (blocks_R * size + entries_R).tolist(), (is_close_R | is_close_inside_R).tolist()


def _best(scores_RN: Tensor) -> tuple[Tensor, Tensor]:
    """Per row the index of the largest score, and whether the second is closer than TIE_MARGIN."""
    if scores_RN.shape[1] == 1:
        only = torch.zeros(len(scores_RN), dtype=torch.long, device=scores_RN.device)
        return only, only.bool()
    values, indices = scores_RN.topk(2, dim=1)
    return indices[:, 0], values[:, 0] - values[:, 1] < TIE_MARGIN
