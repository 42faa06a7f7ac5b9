"""The league table of tools, on rows made by hand: sums by hand, ranks, intervals."""

import random
from collections.abc import Sequence

import pytest

from tests.support.rows import make_row
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored
from toolformer_ray.workflow.scout.league import ToolScore, make_league

RULE = KeepRule(filter="decoys", min_loss_reduction=1.0, min_contrast=0.5)


def call(tool: str, text: int, losses: Sequence[float], place: int = 1) -> Scored:
    own, *decoys = losses
    columns = {"loss_without": 5.0, "loss_in_place": own, "losses_of_decoys": tuple(decoys), "seconds": 0.5}
    row = make_row(Scored, tool=tool, text_id=f"t-{text}", char_offset=place, **columns)
    return RULE.judge(Scored(**vars(row) | {"contrast": sum(decoys) / len(decoys) - own}))


def league(scored: dict[str, list[Scored]], num_texts: int, seed: int = 0) -> list[ToolScore]:
    texts = {f"t-{number}": 1.0 for number in range(num_texts)}
    return make_league(texts, scored, dict.fromkeys(scored, RULE), dict.fromkeys(scored, 2.0), seed)


def test_the_figures_are_those_of_a_thousand_texts_and_a_place_counts_once() -> None:
    good, poor = (1.0, 3.0, 3.0, 3.0), (3.0, 3.0, 3.0, 3.0)
    rows = [call("Good", 0, good), call("Good", 0, good), call("Good", 1, good, place=7), call("Good", 1, poor)]
    first, second = league({"Poor": [call("Poor", 0, poor)], "Good": rows}, 4)
    assert (first.tool, second.tool) == ("Good", "Poor")
    assert (first.kept.expected, first.saved.expected, first.net.expected) == (500, 1000, 1000)
    assert (first.calls.expected, first.seconds.expected, first.model_seconds) == (1000, 500, 500)
    assert first.false_share is not None and second.false_share is None
    assert (second.net.expected, second.net.high, second.is_above_chance) == (0, 0, False)
    # None seen in 4 texts: 3.84 / 4 * 1,000.
    assert second.kept.high == pytest.approx(960, abs=1)


def test_a_text_that_stands_for_more_weighs_more() -> None:
    rows = {"Good": [call("Good", 0, (1.0, 3.0, 3.0, 3.0))]}
    (score,) = make_league({"t-0": 3.0, "t-1": 1.0}, rows, {"Good": RULE}, {"Good": 0.0})
    assert score.kept.expected == 750


def test_intervals_are_the_same_each_time_and_hold_the_truth_of_more_texts() -> None:
    luck = random.Random(1)
    rows = [call("Good", n, (3.0 - luck.random() * 2, 3.0, 3.1, 3.2)) for n in range(400) if luck.random() < 0.5]
    (whole,) = league({"Good": rows}, 400)
    held = 0
    for start in range(0, 400, 20):
        part = [row for row in rows if start <= int(row.text_id[2:]) < start + 20]
        texts = {f"t-{number}": 1.0 for number in range(start, start + 20)}
        (score,) = make_league(texts, {"Good": part}, {"Good": RULE}, {"Good": 0.0})
        held += score.net.low <= whole.net.expected <= score.net.high
    assert held >= 17
    assert league({"Good": rows}, 400) == league({"Good": rows}, 400)
    assert league({"Good": rows}, 400) != league({"Good": rows}, 400, seed=1)


def test_a_tool_that_answers_at_random_keeps_calls_and_ends_within_noise_of_zero_behind_one_that_knows() -> None:
    luck = random.Random(0)
    rows: dict[str, list[Scored]] = {"Random": [], "Knows": []}
    for text in range(300):
        # Four tries at each place: with no choice for the decoys, the best of them would look like knowledge.
        rows["Random"] += [call("Random", text, [luck.gauss(3.0, 0.6) for _ in range(4)]) for _ in range(4)]
        rows["Knows"] += [call("Knows", text, [2.2, *(luck.gauss(3.0, 0.6) for _ in range(3))])]
    first, last = league(rows, 300)
    assert (first.tool, last.tool, first.first) == ("Knows", "Random", 1.0)
    assert last.kept.expected > 300 and last.saved.expected > 300
    assert last.net.low < 0 < last.net.high and not last.is_above_chance
    assert abs(last.net.expected) < 0.1 * last.saved.expected
    assert first.is_above_chance
