"""Nucleus sampling (Holtzman et al. 2020): a token is drawn from the fewest likeliest entries that together have p.

Which entries those are may depend on rounding, so on the batch: two of them may be equally likely, or their sum may
just reach p. So each score is also known as the smallest and as the largest that rounding could make it, from the
smallest and the largest nucleus. A choice is close where the smallest score of the best does not lead the largest of
all others.

Shapes: R rows, V vocabulary entries, B blocks of S entries as in `noise`, K of the entries the likeliest.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.writing.noise import TIE_MARGIN, block_shape, in_blocks

NUM_LOOKED_AT = 1024
"""Most nuclei are smaller, and to sort a whole vocabulary takes as long as some layers of a small model."""


def draw_from_nucleus(
    logits_RV: Tensor, noise: Sequence[np.ndarray], top_p: Sequence[float]
) -> tuple[list[int], list[bool]]:
    """As `draw`, each row from its own nucleus."""
    p_R1 = torch.tensor(top_p, dtype=torch.float64, device=logits_RV.device)[:, None]
    smallest_RBS, exact_RBS, largest_RBS = map(in_blocks, _nuclei(logits_RV, p_R1))
    num_blocks, size = block_shape(logits_RV.shape[1])
    noise_RN = torch.from_numpy(np.stack(noise)).to(logits_RV.device)
    of_blocks = [scores_RBS.logsumexp(-1).double() for scores_RBS in (smallest_RBS, exact_RBS, largest_RBS)]
    blocks_R, is_close_R = _best(*(scores_RB + noise_RN[:, :num_blocks] for scores_RB in of_blocks))
    rows = torch.arange(len(noise), device=logits_RV.device)
    inside = [scores_RBS[rows, blocks_R].double() for scores_RBS in (smallest_RBS, exact_RBS, largest_RBS)]
    entries_R, is_close_inside_R = _best(*(scores_RS + noise_RN[:, num_blocks:] for scores_RS in inside))
    return (blocks_R * size + entries_R).tolist(), (is_close_R | is_close_inside_R).tolist()


def _best(smallest_RN: Tensor, exact_RN: Tensor, largest_RN: Tensor) -> tuple[Tensor, Tensor]:
    """Per row the index of the largest score, and whether rounding could make another one larger."""
    best_R1 = exact_RN.argmax(1, keepdim=True)
    others_R = largest_RN.scatter(1, best_R1, -math.inf).amax(1)
    # Of two infinities there is no difference; that is as close as can be.
    return best_R1[:, 0], ~(smallest_RN.gather(1, best_R1)[:, 0] - others_R >= TIE_MARGIN)


def _nuclei(logits_RV: Tensor, p_R1: Tensor) -> list[Tensor]:
    """The logits (R, V) of the smallest nucleus, of the nucleus and of the largest; others are minus infinity."""
    values_RK, before_RK = _likeliest(logits_RV, p_R1)
    nuclei = []
    for less in (TIE_MARGIN, 0.0, -TIE_MARGIN):
        last_R1, next_R1 = _border(values_RK, before_RK, p_R1 - less)
        # Which of two entries that are equally likely is the last one, rounding decides.
        is_tied_R1 = last_R1 - next_R1 < TIE_MARGIN
        least_R1 = torch.where(is_tied_R1, last_R1 + less, last_R1)
        # The likeliest entry is always one of them.
        least_R1 = torch.where(p_R1 < 1, torch.minimum(least_R1, values_RK[:, :1]), -math.inf)
        nuclei.append(logits_RV.masked_fill(logits_RV < least_R1, -math.inf))
    return nuclei


def _likeliest(logits_RV: Tensor, p_R1: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logits (R, K) in falling order, and the probability (R, K) of all before each of them."""
    total_R1 = logits_RV.logsumexp(1, keepdim=True).double()
    for num_looked_at in (min(NUM_LOOKED_AT, logits_RV.shape[1]), logits_RV.shape[1]):
        values_RK = logits_RV.topk(num_looked_at, dim=1).values
        p_RK = (values_RK.double() - total_R1).exp()
        before_RK = p_RK.cumsum(1) - p_RK
        if bool(((before_RK[:, -1:] > p_R1 + TIE_MARGIN) | (p_R1 == 1)).all()):
            break
    return values_RK, before_RK


def _border(values_RK: Tensor, before_RK: Tensor, p_R1: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (R, 1) of the last entry of the nucleus, with which its entries have p together, and of the next."""
    num_R1 = (before_RK < p_R1).sum(1, keepdim=True).clamp(min=1)
    beyond_R1 = values_RK.new_full((len(values_RK), 1), -math.inf)
    return values_RK.gather(1, num_R1 - 1), torch.cat([values_RK, beyond_R1], dim=1).gather(1, num_R1)
