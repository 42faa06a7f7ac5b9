"""Chooses the places of a text where calls are sampled: the k most probable with p_i > tau_s (paper, section 2).

Works on log p_i, since p_i itself may be smaller than any float.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from toolformer_ray.tools.options import Teaching
from toolformer_ray.tools.wanted_places import before_openers

CLOSE_LOG_RATIO = 1e-4
"""Log-probabilities of one place from different batches differ by less than this."""


def wanted_tokens(
    char_offsets: Sequence[int], is_place: Sequence[bool], text: str, wanted: Iterable[int]
) -> list[bool]:
    """Before which tokens a call stands directly before one of the wanted char offsets.

    What opens a word or number belongs to it, as does one space before it: the place for the `5` of ` $5` is before the
    space, or before the sign where the space is in the token before. Where the tokens allow neither, as in `=$5` with a
    token `=$`, it is before the `5`.
    """
    by_offset = {first: n for n, first in enumerate(char_offsets) if is_place[n]}
    chosen = set()
    for offset in wanted:
        first = before_openers(text, offset)
        first -= first > 0 and text[first - 1] == " "
        chosen |= set(list(filter(by_offset.__contains__, range(first, offset + 1)))[:1])
    tokens = {by_offset[offset] for offset in chosen}
    return [n in tokens for n in range(len(char_offsets))]


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
