"""The filter of the paper (section 2, "Filtering API calls") as formulas; `losses/weights.py` has L_i(z) itself.

    L+ = L_i(e(c, r))                        the call with its result stands before the text
    L- = min(L_i(epsilon), L_i(e(c, epsilon)))   the better of no call at all and the call without an answer
    keep c  iff  L- - L+ >= tau_f

z stands before the whole text, not at place i: the model has not seen calls inside texts yet.
"""

import math

from toolformer_ray.losses.weights import WEIGHTS, is_below, loss_request, weighted_loss, weighted_token_indices

__all__ = ["WEIGHTS", "is_hopeless", "loss_reduction", "loss_request", "weighted_loss", "weighted_token_indices"]


def loss_reduction(loss_without: float, loss_with_call: float, loss_with_result: float) -> float:
    """L- minus L+, in weighted nats; NaN if either loss with the call is.

    >>> loss_reduction(loss_without=2.0, loss_with_call=1.5, loss_with_result=0.25)
    1.25
    """
    if math.isnan(loss_with_call):
        return math.nan
    return min(loss_without, loss_with_call) - loss_with_result


def is_hopeless(loss_without: float, loss_with_result: float, bound: float) -> bool:
    """Whether L- - L+ < bound is certain without L_i(e(c, epsilon)), since L- is at most L_i(epsilon)."""
    return is_below(loss_without - loss_with_result, bound)
