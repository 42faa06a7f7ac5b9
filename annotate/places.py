"""Chooses the places of a text where calls are sampled: the k most probable with p_i > tau_s (paper, section 2).

Works on log p_i, since p_i itself may be smaller than any float.
"""

import math
from collections.abc import Sequence

import numpy as np

from toolformer_ray.tools.options import Teaching

CLOSE_LOG_RATIO = 1e-4
"""Log-probabilities of one place from different batches differ by less than this."""


def choose_places(log_starts: np.ndarray, is_place: Sequence[bool], teaching: Teaching) -> list[int]:
    """The token indices of the chosen places, in the order of the text; of equally probable ones the earlier wins.

    log_starts (tokens,): log p_i for each token of the text. is_place: before which tokens a call may stand at all.
    """
    ranked = _rank(log_starts, is_place)
    above = [index for index in ranked if log_starts[index] > _log(teaching.min_open_probability)]
    return sorted(above[: teaching.max_places])


def is_close_choice(log_starts: np.ndarray, is_place: Sequence[bool], teaching: Teaching) -> bool:
    """Whether the last digits could change the choice, at tau_s or between the ranks k and k + 1.

    If so, log p_i has to be computed on the text alone, so that nothing depends on the batch.
    """
    ranked = _rank(log_starts, is_place)
    values = [float(log_starts[index]) for index in ranked]
    threshold = _log(teaching.min_open_probability)
    k = teaching.max_places
    if sum(value > threshold for value in values) > k and values[k - 1] - values[k] <= CLOSE_LOG_RATIO:
        return True
    return any(abs(value - threshold) <= CLOSE_LOG_RATIO for value in values[: k + 1])


def _rank(log_starts: np.ndarray, is_place: Sequence[bool]) -> list[int]:
    places = [index for index, allowed in enumerate(is_place) if allowed]
    return sorted(places, key=lambda index: (-float(log_starts[index]), index))


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
