"""The weighted loss of the tokens that follow a place in a text (paper, section 2). Arithmetic and requests, no torch.

    L_i(z) = - sum_{t=0..4} w_t log p(x_{i+t} | z, x_{<i+t})        w_t = w~_t / sum_s w~_s,  w~_t = max(0, 1 - 0.2 t)

sum_s w~_s = 3, so w = 1/3, 4/15, 1/5, 2/15, 1/15. With fewer than five tokens left the missing terms are absent and
the others keep their weights: the paper's normaliser does not depend on the text. A place near the end can so lose
less, and a call there needs a larger effect on each word to be kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.lm.requests import ScoreRequest

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel

WEIGHTS = (5 / 15, 4 / 15, 3 / 15, 2 / 15, 1 / 15)
"""w_0 .. w_4; they sum to 1."""

CLOSE_NATS = 1e-4
"""Losses from different batches differ by less than this; closer decisions are made on losses computed alone."""


@dataclass(frozen=True, kw_only=True)
class LossQuestion:
    """Asks for L_i(z) of a text behind a prefix: the whole text behind z, or what is left of it behind a call in it."""

    text_id: str
    """Names the text: questions with equal names are about one text."""
    text_ids: Sequence[int]
    prefix_ids: Sequence[int]
    """The beginning-of-sequence token, then z; or the text up to a place, then z."""
    token_index: int
    """i."""

    @property
    def num_tokens(self) -> int:
        """How many tokens have to be read: to the last one that counts."""
        return len(self.prefix_ids) + weighted_token_indices(self.token_index, len(self.text_ids)).stop


def is_below(loss: float, bound: float) -> bool:
    """Whether a loss, or a difference of losses, lies below a threshold when both are rounded to float32.

    The verdict is taken from float32 columns. Rounding never turns an order round, so what is already lost here is
    lost there, to the last digit.
    """
    return bool(np.float32(loss) < np.float32(bound))


def pruning_bound(min_loss_reduction: float, prune_below: float | None) -> float:
    """tau_f, or the lowest threshold that one may want to sweep to later, whichever is lower."""
    return min_loss_reduction if prune_below is None else min(min_loss_reduction, prune_below)


def weighted_token_indices(token_index: int, num_tokens: int) -> range:
    """The tokens that count at a place: i .. i+4, or as many as the text has left.

    >>> list(weighted_token_indices(7, 10))
    [7, 8, 9]
    """
    return range(token_index, min(token_index + len(WEIGHTS), num_tokens))


def weighted_loss(log_probs: Iterable[float]) -> float:
    """L_i in weighted nats, from the log-probabilities of the tokens i, i+1, ... (at most five of them)."""
    return -sum(weight * float(log_prob) for weight, log_prob in zip(WEIGHTS, log_probs, strict=False))


def loss_request(prefix_ids: Sequence[int], text_ids: Sequence[int], token_index: int) -> ScoreRequest:
    """What to ask the model for L_i(z): `prefix_ids` is the beginning-of-sequence token and z, `token_index` is i.

    The sequence ends with the last token that counts.

    >>> request = loss_request([0, 9], [5, 6, 7, 8], 2)
    >>> list(request.ids), list(request.targets)
    ([0, 9, 5, 6, 7, 8], [4, 5])
    """
    weighted = weighted_token_indices(token_index, len(text_ids))
    targets = range(len(prefix_ids) + weighted.start, len(prefix_ids) + weighted.stop)
    return ScoreRequest(ids=[*prefix_ids, *text_ids[: weighted.stop]], targets=targets)


def loss_alone(model: "LanguageModel", prefix_ids: Sequence[int], text_ids: Sequence[int], token_index: int) -> float:
    """L_i(z) from a batch of this one sequence, so that nothing but the sequence decides its last digits."""
    return weighted_loss(model.log_probs_alone(loss_request(prefix_ids, text_ids, token_index)))


def weighted_losses(model: "LanguageModel", questions: Sequence[LossQuestion]) -> list[float]:
    """L_i(z) of each. Questions of one text with the same z, at whatever places, are read together, once."""
    groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for number, question in enumerate(questions):
        groups.setdefault((question.text_id, tuple(question.prefix_ids)), []).append(number)
    requests = [_joint_request([questions[number] for number in group]) for group in groups.values()]
    losses: dict[int, float] = {}
    for request, group, answer in zip(requests, groups.values(), model.log_probs(requests), strict=True):
        known = dict(zip(request.targets, answer, strict=True))
        losses |= {number: weighted_loss(known[j] for j in _targets(questions[number])) for number in group}
    return [losses[number] for number in range(len(questions))]


def _joint_request(group: Sequence[LossQuestion]) -> ScoreRequest:
    """One request for all the places of a text behind the same z."""
    targets = sorted({j for question in group for j in _targets(question)})
    return ScoreRequest(ids=[*group[0].prefix_ids, *group[0].text_ids][: targets[-1] + 1], targets=targets)


def _targets(question: LossQuestion) -> range:
    weighted, before = weighted_token_indices(question.token_index, len(question.text_ids)), len(question.prefix_ids)
    return range(before + weighted.start, before + weighted.stop)
