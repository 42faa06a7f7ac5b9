"""Which texts the calculator is offered (paper, appendix A.1): those for which one of three rules holds.

(a) at least three numbers within 100 tokens, one of which is the result of an operation on the other two;
(b) one of `=`, `equals`, `equal to`, `total of`, `average of`, followed by a number;
(c) at least three numbers, and the text is among a random 1 %, drawn by the hash of its id.

A token is a number, a word or a punctuation mark, whatever the model's tokenizer makes of them. A number is written
with digits, possibly with thousands separators, decimals and a percent sign (`29%` counts as 0.29); digits inside
words, versions or IP addresses are none. "The result" is the one the calculator would give, rounded to two decimals.
Signs are not read, so `3 - 5` and `5 - 3` are both about 2.
"""

import hashlib
import re

import numpy as np

WINDOW_TOKENS = 100
MAX_VALUE = 1e12
"""Larger numbers are left out of rule (a), because a float cannot represent their hundredths exactly."""
RANDOM_SHARE = 100
"""Rule (c) draws one text of this many."""

_NUMBER = r"(?<![\w.])(?:[0-9]{1,3}(?:,[0-9]{3})++|[0-9]++)(?:\.[0-9]++)?(?!\.?\w)"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})(?P<percent>\s?%)?|\w++|[^\w\s]")
_ANNOUNCED = re.compile(
    rf"(?:=|\b(?:equals|equal\s++to|total\s++of|average\s++of)\b)\s*+[-−]?[$€£¥]?\s*+{_NUMBER}", re.IGNORECASE
)
_BLOCK_TOKENS = 2 * WINDOW_TOKENS


def wants_calculator(text_id: str, text: str) -> bool:
    """Whether one of the three rules holds. Linear in the text: a million characters take about a second."""
    if _ANNOUNCED.search(text):
        return True
    token_indexes, values = find_numbers(text)
    if len(token_indexes) < 3:
        return False
    return is_drawn(text_id) or has_related_numbers(token_indexes, values)


def is_drawn(text_id: str) -> bool:
    """Rule (c)'s draw, which is the same for a text in every run and on every machine."""
    digest = hashlib.blake2b(text_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % RANDOM_SHARE == 0


def find_numbers(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Token index and value of every number in a text, two arrays of one length; values above MAX_VALUE are inf."""
    indexes, values = [], []
    for index, match in enumerate(_TOKEN.finditer(text)):
        if number := match["number"]:
            value = float(number.replace(",", ""))
            indexes.append(index)
            values.append(value / 100 if match["percent"] else value)
    found = np.array(values, dtype=np.float64)
    found[found > MAX_VALUE] = np.inf
    return np.array(indexes, dtype=np.int64), found


def has_related_numbers(token_indexes: np.ndarray, values: np.ndarray) -> bool:
    """Rule (a), for numbers in the order of the text.

    Every span of 100 tokens lies within one block of 200 tokens, blocks starting at 0, 100, 200, ...; so pairs are
    formed within blocks only, and 300,000 numbers in a row still cost seconds instead of hours.
    """
    is_usable = np.isfinite(values)
    token_indexes, values = token_indexes[is_usable], values[is_usable]
    first, last = 0, int(token_indexes[-1]) if len(token_indexes) else -1
    while first <= last:
        start, end = np.searchsorted(token_indexes, (first, first + _BLOCK_TOKENS))
        if end - start >= 3 and _block_has_related(token_indexes[start:end], values[start:end]):
            return True
        first += WINDOW_TOKENS
    return False


def _block_has_related(tokens_N: np.ndarray, values_N: np.ndarray) -> bool:
    """N numbers, O = 4 operations, C pairs whose result might be among the numbers."""
    left_N1, right_1N = values_N[:, None], values_N[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        results_ONN = np.stack((left_N1 + right_1N, np.abs(left_N1 - right_1N), left_N1 * right_1N, left_N1 / right_1N))
    results_ONN[~(results_ONN <= MAX_VALUE)] = -1.0
    # A table of 65,536 flags rules out nearly all of the 160,000 results of a block faster than a search for each.
    is_hundredth = np.zeros(1 << 16, dtype=bool)
    is_hundredth[_hundredths(values_N) & 0xFFFF] = True
    maybe_ONN = is_hundredth[_hundredths(results_ONN) & 0xFFFF]
    maybe_ONN &= (np.abs(tokens_N[:, None] - tokens_N[None, :]) < WINDOW_TOKENS) & ~np.eye(len(values_N), dtype=bool)
    pairs_C3 = np.argwhere(maybe_ONN)
    return any(
        _is_any_related(tokens_N, values_N, results_ONN, pairs_C3[at : at + 4096])
        for at in range(0, len(pairs_C3), 4096)
    )


def _is_any_related(tokens_N: np.ndarray, values_N: np.ndarray, results_ONN: np.ndarray, pairs_C3: np.ndarray) -> bool:
    operation_C, left_C, right_C = pairs_C3.T
    results_C1 = results_ONN[operation_C, left_C, right_C][:, None]
    rounded_C1 = np.rint(results_C1 * 100) / 100
    tolerance_N = 1e-9 * np.maximum(values_N, 1)
    # Rounding to zero says nothing: every quotient of a small and a large number does.
    is_rounded_CN = (np.abs(rounded_C1 - values_N) <= tolerance_N) & (rounded_C1 > 0)
    is_equal_CN = is_rounded_CN | (np.abs(results_C1 - values_N) <= tolerance_N)
    others_N = np.arange(len(values_N))
    is_equal_CN &= (others_N != left_C[:, None]) & (others_N != right_C[:, None])
    low_C1 = np.minimum(tokens_N[left_C], tokens_N[right_C])[:, None]
    high_C1 = np.maximum(tokens_N[left_C], tokens_N[right_C])[:, None]
    span_CN = np.maximum(high_C1, tokens_N) - np.minimum(low_C1, tokens_N)
    return bool((is_equal_CN & (span_CN < WINDOW_TOKENS)).any())


def _hundredths(values: np.ndarray) -> np.ndarray:
    return np.rint(values * 100).astype(np.int64)
