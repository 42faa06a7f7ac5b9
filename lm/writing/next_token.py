"""The next token of several texts, from their logits: the likeliest or a drawn one, and whether a call may start.

A choice that is closer than TIE_MARGIN could fall otherwise in a batch of another shape, and is reported as close. The
margin covers the rounding of float32; models of lower precision are off by more, and have many exact ties.
Shapes: N texts, W hidden width, R rows, V vocabulary entries, K of them the likeliest.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from toolformer_ray.lm.network import Network
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.author import Choice
from toolformer_ray.lm.writing.noise import TIE_MARGIN, draw
from toolformer_ray.lm.writing.nucleus import draw_from_nucleus
from toolformer_ray.lm.writing.text import Rule, Text


class Chooser:
    """Chooses the next tokens of texts. What is close in a batch is chosen again on the text alone, in float32."""

    def __init__(self, network: Network, tokenizer: TextTokenizer) -> None:
        self._network = network
        self._marker_ids = torch.tensor(tokenizer.start_marker_ids, device=network.device)
        self._bracket_ids = torch.tensor(sorted(tokenizer.bracket_ids), device=network.device)
        # With fewer bits many entries are exactly equal, also on the text alone: reading it again would settle nothing.
        self._settles_ties = network.model.dtype == torch.float32

    def choose(self, texts: Sequence[Text], hidden_NW: Tensor) -> list[Choice]:
        """The next token of each text, from the hidden state after its last token."""
        choices: list[Choice] = []
        for first in range(0, len(texts), self._network.head_rows):
            some = slice(first, first + self._network.head_rows)
            choices += self.choose_by_logits(texts[some], self._network.logits(hidden_NW[some]))
        return choices

    def choose_by_logits(self, texts: Sequence[Text], logits_RV: Tensor) -> list[Choice]:
        """The same from a row of logits for each text."""
        if not texts:
            return []
        rules = [text.rule() for text in texts]
        choices, is_close = self._choose(logits_RV, rules)
        for row, text in enumerate(texts):
            if is_close[row] and self._settles_ties:
                [choices[row]], _ = self._choose(self.logits_alone(text), [rules[row]])
        return choices

    def logits_alone(self, text: Text) -> Tensor:
        """The logits (1, V) behind a text, read as a whole in a batch of its own."""
        [hidden_TW] = self._network.read_whole([text.ids])
        return self._network.logits(hidden_TW[-1:])

    def _choose(self, logits_RV: Tensor, rules: Sequence[Rule]) -> tuple[list[Choice], list[bool]]:
        """One choice per row, and whether it was close."""
        # An index has 64 bits, and no more entries can be asked about than there are.
        within = [min(rule.open_within, logits_RV.shape[1]) for rule in rules]
        is_near, is_near_close = self._is_marker_near(logits_RV, within)
        if barred := [row for row, rule in enumerate(rules) if not rule.may_open]:
            logits_RV = logits_RV.clone()
            logits_RV[torch.tensor(barred, device=logits_RV.device)[:, None], self._bracket_ids] = -math.inf
        tokens, is_close = _likeliest_or_drawn(logits_RV, rules)
        # Where the marker is clearly near, the call starts whatever the token would have been.
        return [Choice(token, near) for token, near in zip(tokens, is_near, strict=True)], [
            near_close or (close and not near)
            for near, near_close, close in zip(is_near, is_near_close, is_close, strict=True)
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


def _likeliest_or_drawn(logits_RV: Tensor, rules: Sequence[Rule]) -> tuple[list[int], list[bool]]:
    """Per row the token, by its rule, and whether the choice was close."""
    drawn = [row for row, rule in enumerate(rules) if rule.noise is not None]
    if len(drawn) == len(rules):
        return _draw(logits_RV, rules)
    values, indices = logits_RV.topk(2, dim=1)
    tokens, is_close = indices[:, 0].tolist(), (values[:, 0] - values[:, 1] < TIE_MARGIN).tolist()
    if drawn:
        for row, token, close in zip(drawn, *_draw(logits_RV[drawn], [rules[row] for row in drawn]), strict=True):
            tokens[row], is_close[row] = token, close
    return tokens, is_close


def _draw(logits_RV: Tensor, rules: Sequence[Rule]) -> tuple[list[int], list[bool]]:
    if any(rule.temperature != 1 for rule in rules):
        logits_RV = logits_RV / torch.tensor([[rule.temperature] for rule in rules], device=logits_RV.device)
    noise = [rule.noise for rule in rules if rule.noise is not None]
    if all(rule.top_p == 1 for rule in rules):
        return draw(logits_RV, noise)
    return draw_from_nucleus(logits_RV, noise, [rule.top_p for rule in rules])
