"""Nucleus sampling (Holtzman et al. 2020): a token is drawn from the fewest likeliest entries that together have p.

Which entries those are may depend on rounding, so on the batch: two of them may be equally likely, or their sum may
just reach p. What is drawn from the smallest and from the largest nucleus that rounding could make is compared, with
the same random numbers; where they differ the choice is close, as one between two tokens that are equally likely is.

Shapes: R rows, V vocabulary entries, K of them the likeliest.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.writing.noise import TIE_MARGIN, draw

NUM_LOOKED_AT = 1024
"""Most nuclei are smaller, and to sort a whole vocabulary takes as long as some layers of a small model."""


def draw_from_nucleus(
    logits_RV: Tensor, noise: Sequence[np.ndarray], top_p: Sequence[float]
) -> tuple[list[int], list[bool]]:
    """As `draw`, each row from its own nucleus."""
    p_R1 = torch.tensor(top_p, dtype=torch.float64, device=logits_RV.device)[:, None]
    values_RK, before_RK = _likeliest(logits_RV, p_R1)
    shifts = ((0.0, 0.0), (-TIE_MARGIN, TIE_MARGIN), (TIE_MARGIN, -TIE_MARGIN))
    drawn = []
    for more_p, more_logit in shifts:
        least_R1 = _least_logit(values_RK, before_RK, p_R1 + more_p) + more_logit
        # The likeliest entry is always one of them.
        least_R1 = torch.where(p_R1 < 1, torch.minimum(least_R1, values_RK[:, :1]), -math.inf)
        drawn.append(draw(logits_RV.masked_fill(logits_RV < least_R1, -math.inf), noise))
    (tokens, is_close), (from_smallest, _), (from_largest, _) = drawn
    return tokens, [
        close or token != smallest or token != largest
        for token, close, smallest, largest in zip(tokens, is_close, from_smallest, from_largest, strict=True)
    ]


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


def _least_logit(values_RK: Tensor, before_RK: Tensor, p_R1: Tensor) -> Tensor:
    """The logit (R, 1) of the last entry of the nucleus: the first ones do not have p together, and with it they do."""
    num_R1 = (before_RK < p_R1).sum(1, keepdim=True).clamp(min=1)
    return values_RK.gather(1, num_R1 - 1)
