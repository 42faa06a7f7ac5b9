"""What a tool's calls spare the texts, net of chance: exactly nothing where answers and decoys may change places."""

import itertools
import math
import random
from collections.abc import Sequence

import pytest

from tests.support.rows import make_row
from tests.support.small_world import Adder
from toolformer_ray.losses.net_saving import saving_at_place
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored

RULE = KeepRule.of(Adder(min_contrast=0.5), "decoys")


def call(losses: Sequence[float], loss_without: float = 4.0, rule: KeepRule = RULE) -> Scored:
    """A judged call with these losses: first with its result, then with each decoy."""
    own, *decoys = losses
    contrast = math.fsum(decoys) / len(decoys) - own if decoys else None
    row = make_row(Scored, loss_without=loss_without, loss_in_place=own, losses_of_decoys=tuple(decoys))
    return rule.judge(Scored(**vars(row) | {"contrast": contrast}))


def test_a_result_saves_its_contrast_and_no_decoy_saves_anything_beside_a_good_one() -> None:
    # (3 + 4 + 2) / 3 - 1 = 2 nats. The decoy 2 against 1, 3 and 4 gains 2/3 nats, which a call would be kept for.
    saving = saving_at_place([call((1.0, 3.0, 4.0, 2.0))], RULE)
    assert saving.saved == pytest.approx(2.0)
    assert saving.by_chance == pytest.approx((0 + 0 + 2 / 3) / 3)
    assert saving.net == pytest.approx(2.0 - 2 / 9)


def test_no_answer_saves_more_than_the_text_costs() -> None:
    assert saving_at_place([call((1.0, 9.0, 9.0, 9.0), loss_without=1.5)], RULE).saved == 1.5


def test_of_the_calls_at_one_place_the_best_counts_and_the_best_decoys_do_too() -> None:
    # 2 and 3 nats; the second decoys gain 0 and 2/3 nats, the third ones (1 + 3 + 4) / 3 - 2 and nothing.
    best = saving_at_place([call((1.0, 3.0, 4.0, 2.0)), call((1.0, 4.0, 3.0, 5.0))], RULE)
    assert best.saved == pytest.approx(3.0)
    assert best.by_chance == pytest.approx(2 / 3 / 3)


def test_calls_that_are_not_kept_or_have_no_decoys_save_nothing() -> None:
    assert saving_at_place([call((2.0, 2.1, 2.2, 2.3)), call((1.0,))], RULE).net == 0.0
    assert saving_at_place([], RULE).net == 0.0


@pytest.mark.parametrize("num_decoys", [(2,), (3,), (3, 3), (3, 2)])
def test_over_all_ways_to_deal_out_the_answers_the_net_is_exactly_zero(num_decoys: tuple[int, ...]) -> None:
    luck = random.Random(len(num_decoys))
    losses = [[luck.gauss(3.0, 1.0) for _ in range(number + 1)] for number in num_decoys]
    deals = itertools.product(*(itertools.permutations(each) for each in losses))
    savings = [saving_at_place([call(dealt) for dealt in deal], RULE) for deal in deals]
    assert sum(saving.saved for saving in savings) > 1.0
    assert math.fsum(saving.net for saving in savings) == pytest.approx(0.0, abs=1e-9)


def test_a_call_whose_input_the_text_tells_only_later_saves_nothing_and_nor_do_its_decoys() -> None:
    rule = KeepRule(filter="decoys", min_loss_reduction=1.0, min_contrast=0.5, strikes_future_inputs=True)
    row = call((1.0, 3.0, 4.0, 2.0), rule=rule)
    struck = rule.judge(Scored(**vars(row) | {"input_sees_future": True}))
    assert vars(saving_at_place([struck], rule)) == {"saved": 0.0, "by_chance": 0.0}
