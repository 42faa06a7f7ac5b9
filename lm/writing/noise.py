"""Random choices that depend on a key alone, not on the batch: Gumbel-max in two levels.

The vocabulary of V entries is cut into blocks of about sqrt(V). Gumbel-max over the blocks' summed probabilities
chooses the block, Gumbel-max inside it the token. Since p(token) = p(block) p(token | block), this draws from the
model's own distribution, with 2 sqrt(V) random numbers instead of V. Unlike a search in the cumulative distribution,
it is hardly ever sensitive to rounding: the best of n perturbed scores leads the second by an Exp(1)-distributed gap.
"""

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

# A choice whose best two scores are closer than this could fall otherwise in a batch of another shape.
TIE_MARGIN = 1e-4

# Steps whose numbers are made at once: for one step the calls cost more than the numbers, while a GPU waits. Samples of
# calls have some 14 tokens, and what is made beyond their end is for nothing. The first step is made by itself: many
# more samples wait behind their first token than are being written, and these numbers are 50 kB.
STEPS_AT_ONCE = 8


class Noise:
    """The random numbers of one sample: step t is the same whatever happens to other samples."""

    def __init__(self, key: int, vocabulary_size: int) -> None:
        self._generator = np.random.Generator(np.random.Philox(key=key))
        self._count = sum(block_shape(vocabulary_size))
        self._num_next = 1
        self._at_hand: deque[np.ndarray] = deque()

    def step(self) -> np.ndarray:
        """Standard Gumbel numbers of the next step, float64: one per block, then one per place in a block."""
        if not self._at_hand:
            uniform = np.maximum(self._generator.random((self._num_next, self._count)), 2.0**-54)
            self._at_hand.extend(-np.log(-np.log(uniform)))
            self._num_next = STEPS_AT_ONCE
        return self._at_hand.popleft()

    def close(self) -> None:
        """Let go of the numbers that were made already: no step follows."""
        self._at_hand.clear()


def block_shape(vocabulary_size: int) -> tuple[int, int]:
    """(blocks, entries per block): the last block may be short."""
    size = math.isqrt(vocabulary_size - 1) + 1
    return -(-vocabulary_size // size), size


def choose(logits_RV: Tensor, noise: Sequence[np.ndarray], temperature: float) -> tuple[list[int], list[bool]]:
    """One token per row, and whether the choice was closer than TIE_MARGIN."""
    num_rows, vocabulary_size = logits_RV.shape
    num_blocks, size = block_shape(vocabulary_size)
    noise_RN = torch.from_numpy(np.stack(noise)).to(logits_RV.device)
    missing = num_blocks * size - vocabulary_size
    scaled_RV = logits_RV.float() if temperature == 1 else logits_RV.float() / temperature
    scores_RV = torch.nn.functional.pad(scaled_RV, (0, missing), value=-math.inf) if missing else scaled_RV
    scores_RBS = scores_RV.view(num_rows, num_blocks, size)
    blocks_R, is_close_R = _best(scores_RBS.logsumexp(-1).double() + noise_RN[:, :num_blocks])
    inside_RS = scores_RBS[torch.arange(num_rows, device=logits_RV.device), blocks_R].double()
    places_R, is_close_inside_R = _best(inside_RS + noise_RN[:, num_blocks:])
    return (blocks_R * size + places_R).tolist(), (is_close_R | is_close_inside_R).tolist()


def _best(scores_RN: Tensor) -> tuple[Tensor, Tensor]:
    if scores_RN.shape[1] == 1:
        only = torch.zeros(len(scores_RN), dtype=torch.long, device=scores_RN.device)
        return only, only.bool()
    (values, indices) = scores_RN.topk(2, dim=1)
    return indices[:, 0], values[:, 0] - values[:, 1] < TIE_MARGIN
