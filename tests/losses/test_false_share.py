"""The false share: how many kept calls chance would have kept, told by their decoys."""

import math
import random

import pytest

from tests.support.rows import make_row
from tests.support.small_world import Adder
from toolformer_ray.losses.criteria import CallLosses
from toolformer_ray.losses.false_share import Chance, count_chance, lowest_threshold
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored

NUM_CALLS = 4_000


def drawn(share_right: float, seed: int = 0) -> list[tuple[bool, CallLosses]]:
    """Calls of which a share is right: their result lowers the loss by about 1.5 nats, all else is noise."""
    rng = random.Random(seed)
    calls = []
    for _ in range(NUM_CALLS):
        is_right = rng.random() < share_right
        decoys = tuple(rng.gauss(3.0, 0.5) for _ in range(3))
        result = rng.gauss(1.5 if is_right else 3.0, 0.5)
        calls.append((is_right, CallLosses(loss_without=3.0, loss_in_place=result, losses_of_decoys=decoys)))
    return calls


def judged(calls: list[tuple[bool, CallLosses]], min_contrast: float) -> list[Scored]:
    rule = KeepRule.of(Adder(min_contrast=min_contrast), "decoys")
    return [rule.judge(make_row(Scored, **losses.columns())) for _, losses in calls]


@pytest.mark.parametrize("share_right", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("min_contrast", [0.5, 0.75, 1.0])
def test_the_estimate_is_near_the_truth_and_rather_too_high(share_right: float, min_contrast: float) -> None:
    calls = drawn(share_right)
    rows = judged(calls, min_contrast)
    kept = [is_right for (is_right, _), row in zip(calls, rows, strict=True) if row.is_kept]
    truth, estimate = kept.count(False) / len(kept), count_chance(rows).false_share
    assert estimate is not None and truth - 0.03 <= estimate
    # Where all is chance there is nothing too high; elsewhere the scatter of two decoys for three adds a part.
    assert estimate <= truth * 1.35 + 0.03


def test_without_kept_calls_or_decoys_the_share_is_unknown() -> None:
    assert Chance().false_share is None
    assert Chance(kept=0, calls=9, decoys=18).false_share is None


def test_counts_of_shards_add_up() -> None:
    rows = judged(drawn(0.5), 0.5)
    whole, parts = count_chance(rows), [count_chance(rows[:100]), count_chance(rows[100:])]
    assert vars(whole) == {name: sum(getattr(part, name) for part in parts) for name in vars(whole)}


def test_the_lowest_threshold_is_the_first_at_which_the_share_is_small_enough() -> None:
    calls = drawn(0.3)
    told = [(c.loss_without, c.contrast, c.losses_of_decoys) for _, c in calls]
    threshold = lowest_threshold(told, 0.2, 0.05)
    at, below = (count_chance(judged(calls, value)).false_share for value in (threshold, threshold - 0.05))
    assert at is not None and below is not None and at <= 0.05 < below
    assert lowest_threshold(told, 2.0, 0.5) >= 2.0
    assert lowest_threshold([], 0.2, 0.05) == math.inf
