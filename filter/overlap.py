"""An estimate of L+ for the screen: the call makes sure of every token that occurs in it, and changes no other.

    L_overlap = - sum over the weighted tokens that occur in neither input nor result of w_t log p(x_{i+t} | x_{<i+t})

A call helps for the most part by saying what comes next, so L_i(epsilon) - L_overlap is about the most that it can do.
The input counts too: an answer that has nothing to say can still draw attention to what was asked. All this takes one
pass a text, for all its calls, and none for a call. What it does not see: answers that make likely what they do not say
(`Paris` before `France`), tokens that follow from those that they do, and models that any call puts off their stride.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from filter.trial import Trial
from lm.requests import ScoreRequest
from lm.weighted_loss import WEIGHTS

if TYPE_CHECKING:
    from lm.model import LanguageModel


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
        tokenizer, call = self._model.tokenizer, trial.executed
        said = (call.call_input, call.result or "")
        said_ids = {token for words in said for token in tokenizer.encode(f" {words}")}
        weights = dict(zip(trial.weighted, WEIGHTS, strict=False))
        return -sum(
            weight * float(log_probs[j])
            for j, weight in weights.items()
            if (token := trial.text_ids[j]) not in said_ids
            and not any(occurs(tokenizer.decode([token]), words) for words in said)
        )


def occurs(token: str, words: str) -> bool:
    """Whether a token's text stands somewhere in the words, however those are cut into tokens, upper case or lower.

    Of a single character that says nothing: `a` stands in most answers.

    >>> occurs(" Paris", "It is PARIS."), occurs("a", "Paris"), occurs(" a", "Paris")
    (True, False, False)
    """
    bare = token.strip().casefold()
    return len(bare) > 1 and bare in words.casefold()
