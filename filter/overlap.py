"""An estimate of L+ for the screen: the result makes sure of every token that occurs in it, and moves the others a bit.

    L_overlap = - (1 - SWAY) sum over the weighted tokens that the result does not hold of w_t log p(x_{i+t} | x_{<i+t})

A result helps for the most part by saying what comes next. Besides, anything that stands before a text moves its
losses, the more the larger they are, so where a model is at a loss anyway almost every call passes. All this takes one
pass a text, for all its calls, and none for a call. What it does not see: results that make quite sure of what they do
not say (`Paris` before `France`), and tokens that follow from those that they do.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from filter.trial import Trial
from lm.requests import ScoreRequest
from lm.weighted_loss import WEIGHTS

if TYPE_CHECKING:
    from lm.model import LanguageModel


SWAY = 0.1
"""The share of a token's loss that a call may take away without saying the token. Chosen on two invented worlds other
than those of the figures: 195 of 197 kept calls passed there, and 194 without it; on real texts, of which the miniature
understands nothing, 33 of 33, and 12 without it."""


class OverlapEstimate:
    """Keeps nothing from one batch of trials to the next."""

    def __init__(self, model: "LanguageModel") -> None:
        self._model = model

    def losses(self, trials: Sequence[Trial]) -> list[float]:
        """Of each trial; each text is read once."""
        texts = {trial.executed.text_id: trial.text_ids for trial in trials}
        wanted: dict[str, set[int]] = {text_id: set() for text_id in texts}
        for trial in trials:
            wanted[trial.executed.text_id].update(trial.weighted)
        tokens = {text_id: sorted(its_tokens) for text_id, its_tokens in wanted.items()}
        requests = [self._request(texts[text_id], its_tokens) for text_id, its_tokens in tokens.items()]
        answers = dict(zip(tokens, self._model.log_probs(requests), strict=True))
        known = {text_id: dict(zip(tokens[text_id], answers[text_id], strict=True)) for text_id in tokens}
        return [self._loss(trial, known[trial.executed.text_id]) for trial in trials]

    def loss_alone(self, trial: Trial) -> float:
        """From a batch of one."""
        log_probs = self._model.log_probs_alone(self._request(trial.text_ids, trial.weighted))
        return self._loss(trial, dict(zip(trial.weighted, log_probs, strict=True)))

    def is_exact(self, _: Trial, /) -> bool:
        """Never but by chance."""
        return False

    def _request(self, text_ids: Sequence[int], tokens: Sequence[int]) -> ScoreRequest:
        bos_ids = self._model.tokenizer.bos_ids
        return ScoreRequest(ids=[*bos_ids, *text_ids[: tokens[-1] + 1]], targets=[len(bos_ids) + j for j in tokens])

    def _loss(self, trial: Trial, log_probs: Mapping[int, float]) -> float:
        """L_overlap in weighted nats, from the log-probabilities of the text's tokens by their index."""
        tokenizer, result = self._model.tokenizer, trial.executed.result or ""
        result_ids = set(tokenizer.encode(f" {result}"))
        weights = dict(zip(trial.weighted, WEIGHTS, strict=False))
        unsaid = -sum(
            weight * float(log_probs[j])
            for j, weight in weights.items()
            if (token := trial.text_ids[j]) not in result_ids and not occurs(tokenizer.decode([token]), result)
        )
        return (1 - SWAY) * unsaid


def occurs(token: str, result: str) -> bool:
    """Whether a token's text stands somewhere in the result, however that is cut into tokens, upper case or lower.

    Of a single character that says nothing: `a` stands in most results.

    >>> occurs(" Paris", "It is PARIS."), occurs("a", "Paris"), occurs(" a", "Paris")
    (True, False, False)
    """
    bare = token.strip().casefold()
    return len(bare) > 1 and bare in result.casefold()
