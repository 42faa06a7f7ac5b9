"""Totals for a whole corpus, estimated from a stratified sample, with a 95 % interval.

The estimate is the sum over strata of the stratum's number of texts times the mean of its sampled texts. Most texts
keep no call, and a sample may hold none at all. Then the normal approximation and the bootstrap both give an interval
of width 0. So the number k found in the sample is modelled as a Poisson number with variance phi times its mean, and
the interval is the score interval (as Wilson's): all means m with |k - m| <= z sqrt(phi (1 - f) m), that is

    m = k + c/2 -+ sqrt(c k + c^2/4),    c = z^2 phi (1 - f)

phi is estimated from the sample, as the variance of the stratified estimate over that of a Poisson number, and is at
least 1; if it is more, Student's t replaces z. f is the share of texts that were sampled, so the interval of a sample
of everything has width 0. If none are found, the interval reaches up to 3.84 N/n. Values below 0, as of calls that cost
nats, are no numbers of things: with them the interval is Student's, around the estimate.

Not covered: where few texts hold most of the calls, the interval holds the truth less often than 95 % of the time (91 %
in the test), since a sample that misses those texts does not show how much texts vary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

Z_95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Total:
    """A number in the whole corpus, with its 95 % interval."""

    expected: float
    low: float
    """2.5 % of the time it is less."""
    high: float
    """2.5 % of the time it is more."""

    def __mul__(self, factor: float) -> "Total":
        return Total(expected=self.expected * factor, low=self.low * factor, high=self.high * factor)


def estimate_total(strata: Sequence[tuple[int, Sequence[float]]]) -> Total:
    """The total, from (number of texts, values of the sampled texts) of each stratum; empty strata do not count."""
    strata = [(size, values) for size, values in strata if values]
    num_texts = sum(size for size, _ in strata)
    num_sampled = sum(len(values) for _, values in strata)
    if not num_sampled:
        return Total(expected=0.0, low=0.0, high=0.0)
    expected = sum(size * _mean(values) for size, values in strata)
    share, unseen = num_sampled / num_texts, 1 - num_sampled / num_texts
    if any(value < 0 for _, values in strata for value in values):
        half = _student(num_sampled - len(strata)) * math.sqrt(_variance_of_total(strata))
        return Total(expected=expected, low=expected - half, high=expected + half)
    found = expected * share
    dispersion = 1.0
    if found and unseen:
        dispersion = max(1.0, _variance_of_total(strata) * share**2 / (found * unseen))
    # phi is itself an estimate, with one degree of freedom less for the mean of each stratum.
    z = _student(num_sampled - len(strata)) if dispersion > 1 else Z_95
    seen = sum(sum(values) for _, values in strata)
    return _score_interval(found, share, z**2 * dispersion * unseen, seen)


def estimate_count(found: int, num_sampled: int, number: int) -> Total:
    """How many of `number` things are of a kind, if `found` of `num_sampled` (at least 1) are."""
    share = num_sampled / number
    total = _score_interval(found, share, Z_95**2 * (1 - share), found)
    return replace(total, high=min(total.high, number - (num_sampled - found)))


def estimate_share(found: int, num_sampled: int) -> Total:
    """Which share of many things is of a kind, if `found` of `num_sampled` (at least 1) are: Wilson's score interval.

    >>> [round(number, 3) for number in vars(estimate_share(9, 10)).values()]
    [0.9, 0.596, 0.982]
    """
    expected, z = found / num_sampled, Z_95**2 / num_sampled
    half = math.sqrt(z * expected * (1 - expected) + z**2 / 4)
    low, high = ((expected + z / 2 + sign * half) / (1 + z) for sign in (-1, 1))
    return Total(expected=expected, low=max(0.0, low), high=min(1.0, high))


def _score_interval(found: float, share: float, c: float, seen: float) -> Total:
    half = math.sqrt(c * found + c**2 / 4)
    low, high = ((found + c / 2 + sign * half) / share for sign in (-1, 1))
    return Total(expected=found / share, low=max(seen, low), high=high)


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's t, to 0.4 % from 4 degrees of freedom on (Cornish and Fisher's expansion)."""
    nu = max(1, freedom)
    first = (Z_95**3 + Z_95) / (4 * nu)
    return Z_95 + first + (5 * Z_95**5 + 16 * Z_95**3 + 3 * Z_95) / (96 * nu**2)


def _variance_of_total(strata: Sequence[tuple[int, Sequence[float]]]) -> float:
    """The variance of the estimate. A stratum with one sampled text is assumed to vary like all texts together."""
    pooled = _variance([value for _, values in strata for value in values])
    return sum(
        size**2 / len(values) * (1 - len(values) / size) * (_variance(values) if len(values) > 1 else pooled)
        for size, values in strata
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1) if len(values) > 1 else 0.0
