"""Differences between two ways of answering the same questions, with their interval and their test."""

import math

import numpy as np
import pytest

from toolformer_ray.evals.paired import Paired, standard_error


def test_pairs_are_counted_by_who_was_right() -> None:
    found = Paired.of([(True, True), (True, False), (False, True), (False, True), (False, False)])
    assert found == Paired(both=1, only_first=1, only_second=2, neither=1)
    assert (found.share_first, found.share_second) == (2 / 5, 3 / 5)
    assert found.difference == pytest.approx(1 / 5)


def test_the_interval_is_that_of_agresti_and_min() -> None:
    # n = 100, b = 6, c = 16: (16 - 6) / 102 and 1.96 sqrt((6 + 16 + 1) - 10**2 / 102) / 102.
    low, high = Paired(both=50, only_first=6, only_second=16, neither=28).interval
    error = 1.959964 * math.sqrt(23 - 100 / 102) / 102
    assert (low, high) == pytest.approx((10 / 102 - error, 10 / 102 + error))


@pytest.mark.parametrize("shares", [(0.5, 0.05, 0.15, 0.3), (0.1, 0.04, 0.02, 0.84), (0.3, 0.3, 0.3, 0.1)])
@pytest.mark.parametrize("number", [20, 200])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(shares: tuple[float, ...], number: int) -> None:
    drawn = np.random.default_rng(0).multinomial(number, shares, size=2000)
    intervals = [Paired(both=a, only_first=b, only_second=c, neither=d).interval for a, b, c, d in drawn.tolist()]
    truth = shares[2] - shares[1]
    assert np.mean([low <= truth <= high for low, high in intervals]) >= 0.93


def test_where_two_ways_never_differ_the_interval_is_not_empty_and_the_test_says_nothing() -> None:
    same = Paired(both=10)
    low, high = same.interval
    assert low < 0 < high and same.p_value == 1.0


def test_the_test_is_mcnemars_exact_one_also_for_many_questions() -> None:
    # Of 4 coins none or all heads: 2 / 16.
    assert Paired(only_second=4).p_value == 2 / 16
    assert Paired(only_first=5, only_second=5).p_value == 1.0
    assert 0 < Paired(only_first=1400, only_second=1600).p_value < 0.001


def test_the_standard_error_is_that_of_a_share() -> None:
    assert standard_error(0.2, 16) == pytest.approx(0.1)
    assert standard_error(1.0, 16) == 0.0
