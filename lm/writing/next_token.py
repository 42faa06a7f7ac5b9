"""The next token of several texts, from their logits: the likeliest or a drawn one, and whether a call may start.

A choice that is closer than TIE_MARGIN could fall otherwise in a batch of another shape; it is said to be close. That
is the rounding of float32: a model that computes in fewer bits is off by more, and ties are common in it.
Shapes: R rows, V vocabulary entries.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.author import Choice
from toolformer_ray.lm.writing.noise import TIE_MARGIN, choose


@dataclass(frozen=True, slots=True)
class Rule:
    """How one row's token is chosen."""

    temperature: float
    """What logits are divided by; 0 takes the likeliest token."""
    noise: np.ndarray | None
    """The step's random numbers; None at temperature 0."""
    may_open: bool
    """Whether entries with a `[` may be chosen."""
    open_within: int
    """k of the paper's inference: is the start marker among the k likeliest? 0 does not ask."""


class Chooser:
    """Knows which entries of a vocabulary start calls."""

    def __init__(self, tokenizer: TextTokenizer, device: torch.device) -> None:
        self._marker_ids = torch.tensor(tokenizer.start_marker_ids, device=device)
        self._bracket_ids = torch.tensor(sorted(tokenizer.bracket_ids), device=device)

    def choose(self, logits_RV: Tensor, rules: Sequence[Rule]) -> tuple[list[Choice], list[bool]]:
        """One choice per row, and whether it was close."""
        # Of more entries than there are nothing is asked, and an index has no more than 64 bits.
        within = [min(rule.open_within, logits_RV.shape[1]) for rule in rules]
        is_near_R, is_near_close_R = self._is_marker_near(logits_RV, within)
        if barred := [row for row, rule in enumerate(rules) if not rule.may_open]:
            logits_RV = logits_RV.clone()
            logits_RV[torch.tensor(barred, device=logits_RV.device)[:, None], self._bracket_ids] = -math.inf
        tokens, is_close = _likeliest(logits_RV)
        drawn = [row for row, rule in enumerate(rules) if rule.noise is not None]
        if drawn:
            temperatures_R1 = torch.tensor([[rules[row].temperature] for row in drawn], device=logits_RV.device)
            noise = [noise for rule in rules if (noise := rule.noise) is not None]
            for row, token, close in zip(drawn, *choose(logits_RV[drawn] / temperatures_R1, noise, 1.0), strict=True):
                tokens[row], is_close[row] = token, close
        choices = [Choice(token, is_near) for token, is_near in zip(tokens, is_near_R, strict=True)]
        # Where the marker is clearly near, the call starts whatever the token would have been.
        return choices, [
            near_close or (close and not near)
            for near, near_close, close in zip(is_near_R, is_near_close_R, is_close, strict=True)
        ]

    def _is_marker_near(self, logits_RV: Tensor, within: Sequence[int]) -> tuple[list[bool], list[bool]]:
        """Per row, whether fewer than k other entries are likelier than the marker, and whether that was close."""
        most = max(within)
        if not most:
            return [False] * len(within), [False] * len(within)
        marker_R = logits_RV[:, self._marker_ids].logsumexp(1)
        others_RV = logits_RV.index_fill(1, self._marker_ids, -math.inf)
        best_RK = others_RV.topk(min(most, others_RV.shape[1]), dim=1).values
        asked_R1 = torch.tensor(within, device=logits_RV.device)[:, None]
        last_R = best_RK.gather(1, (asked_R1 - 1).clamp(0, best_RK.shape[1] - 1))[:, 0]
        is_asked_R = asked_R1[:, 0] > 0
        is_near_R = is_asked_R & (marker_R >= last_R)
        return is_near_R.tolist(), (is_asked_R & ((marker_R - last_R).abs() < TIE_MARGIN)).tolist()


def _likeliest(logits_RV: Tensor) -> tuple[list[int], list[bool]]:
    values, indices = logits_RV.topk(2, dim=1)
    return indices[:, 0].tolist(), (values[:, 0] - values[:, 1] < TIE_MARGIN).tolist()
