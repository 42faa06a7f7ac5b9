"""From a sample to a total: the arithmetic, by hand, and how often the interval holds the truth."""

import math
import random

import pytest

from toolformer_ray.workflow.totals import Z_95, estimate_total


def test_the_total_weighs_each_stratum_by_its_texts() -> None:
    # 30 texts of which 2 have 1 and 0, and 10 of which 2 have 3 and 1: 30 * 0.5 + 10 * 2
    assert estimate_total([(30, [1, 0]), (10, [3, 1])]).expected == 35


def test_the_interval_is_the_score_interval_of_an_overdispersed_poisson_number() -> None:
    total = estimate_total([(100, [4, 0, 0, 0, 4, 0, 0, 0])])
    # The mean is 1, the variance (9 + 1 + 1 + 1 + 9 + 1 + 1 + 1) / 7 = 3.4286, a Poisson number of mean 1 would have 1.
    # k = 8 found, f = 8 / 100, t = 2.365 with 7 degrees of freedom.
    c = 2.365**2 * 24 / 7 * 0.92
    half = math.sqrt(c * 8 + c**2 / 4)
    assert total.expected == 100
    assert total.low == pytest.approx((8 + c / 2 - half) * 12.5, rel=0.01)
    assert total.high == pytest.approx((8 + c / 2 + half) * 12.5, rel=0.01)


def test_what_varies_less_than_a_poisson_number_has_its_interval() -> None:
    # k = 4, f = 4 / 100, phi = 1: c = 3.8415 * 0.96 = 3.6878, half = sqrt(3.6878 * 4 + 3.6878^2 / 4) = 4.2604
    total = estimate_total([(100, [1, 1, 1, 1])])
    assert (total.low, total.high) == pytest.approx(((4 + 1.8439 - 4.2604) * 25, (4 + 1.8439 + 4.2604) * 25), abs=0.02)


def test_what_was_seen_is_there() -> None:
    assert estimate_total([(6, [5, 0, 0])]).low == 5


def test_values_below_zero_have_an_interval_around_the_estimate() -> None:
    # The mean is -1, the variance (4 + 4 + 0 + 0) / 3; t = 3.182 with 3 degrees of freedom; 4 of 100 texts were seen.
    total = estimate_total([(100, [1, -3, -1, -1])])
    half = 3.182 * math.sqrt(100**2 / 4 * 0.96 * 8 / 3)
    assert total.expected == -100 and (total.low + total.high) / 2 == pytest.approx(-100)
    assert total.high - total.expected == pytest.approx(half, rel=0.05)


def test_finding_none_leaves_room_for_some() -> None:
    total = estimate_total([(5_000, [0] * 50), (5_000, [0] * 50)])
    # 3.84 of 100 sampled texts, times 100; less the one in a hundred that was seen.
    assert (total.expected, total.low) == (0, 0)
    assert total.high == pytest.approx(Z_95**2 * 0.99 * 100)


def test_a_sample_of_everything_is_the_truth() -> None:
    total = estimate_total([(3, [1, 0, 2]), (1, [7])])
    assert (total.expected, total.low, total.high) == (10, 10, 10)
    assert estimate_total([]).high == 0


def test_strata_that_differ_make_the_interval_narrower() -> None:
    apart = estimate_total([(50, [9, 11, 9, 11]), (50, [0, 0, 0, 0])])
    mixed = estimate_total([(50, [9, 0, 11, 0]), (50, [0, 9, 0, 11])])
    assert apart.expected == mixed.expected
    assert apart.high - apart.low < (mixed.high - mixed.low) / 2


@pytest.mark.parametrize("share_with_calls", [0.01, 0.1, 0.6])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(share_with_calls: float) -> None:
    luck = random.Random(0)
    texts = [luck.choice((1, 1, 2, 5)) if luck.random() < share_with_calls else 0 for _ in range(2_000)]
    strata = [texts[begin : begin + 80] for begin in range(0, 2_000, 80)]
    num_held = 0
    for _ in range(400):
        total = estimate_total([(len(stratum), luck.sample(stratum, 4)) for stratum in strata])
        num_held += total.low <= sum(texts) <= total.high
    # Where a few texts hold most of the calls, a sample without them does not know of them: 366 of 400.
    assert num_held >= 0.9 * 400
