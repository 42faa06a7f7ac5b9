"""The weights of the paper's loss (section 2, "Filtering API Calls"): which tokens of a text count, and how much.

    L_i(z) = - sum_{t=0..4} w_t log p(x_{i+t} | z, x_{<i+t})        w_t = w~_t / sum_s w~_s,  w~_t = max(0, 1 - 0.2 t)

sum_s w~_s = 3, so w = 1/3, 4/15, 1/5, 2/15, 1/15. Where a text has fewer than five tokens left, the missing terms are
absent and the others keep their weights, since the paper's normaliser does not depend on the text. Near the end of a
text L_i is therefore smaller, and a call there needs a larger effect on each token to be kept.
"""

from collections.abc import Iterable

WEIGHTS = (5 / 15, 4 / 15, 3 / 15, 2 / 15, 1 / 15)
"""w_0 .. w_4; they sum to 1."""


def weighted_token_indices(token_index: int, num_tokens: int) -> range:
    """The indices of the tokens that count at token i: i .. i+4, or as many as a text of `num_tokens` has left.

    >>> list(weighted_token_indices(7, 10))
    [7, 8, 9]
    """
    return range(token_index, min(token_index + len(WEIGHTS), num_tokens))


def weighted_loss(log_probs: Iterable[float]) -> float:
    """L_i in weighted nats, from the log-probabilities of the tokens i, i+1, ... (at most five of them count)."""
    return -sum(weight * float(log_prob) for weight, log_prob in zip(WEIGHTS, log_probs, strict=False))
