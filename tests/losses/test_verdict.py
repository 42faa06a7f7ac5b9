"""The rule by which calls are kept: in Python, in SQL, and what can be told of it while losses are missing."""

import itertools
import math
from dataclasses import MISSING, fields

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.support.rows import make_row
from tests.support.small_world import Adder
from toolformer_ray.losses.criteria import (
    CLOSE_NATS,
    CRITERIA,
    LARGEST_VALUE_SQL,
    THRESHOLDS,
    VALUE_SQL,
    CallLosses,
    Criterion,
    settle,
)
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.schema import arrow_schema
from toolformer_ray.records.stages import Scored
from toolformer_ray.tools.options import Teaching

THRESHOLDS_TRIED = (0.1, 0.3, 1.0, 1 / 3, 1e-5, 2.0000001)


def row(losses: CallLosses, *, input_sees_future: bool = False) -> Scored:
    return make_row(Scored, **losses.columns(), input_sees_future=input_sees_future)


def paper(threshold: float, *, strikes: bool = False) -> KeepRule:
    return KeepRule(filter="paper", min_loss_reduction=threshold, min_contrast=math.inf, strikes_future_inputs=strikes)


def decoys(threshold: float) -> KeepRule:
    return KeepRule(filter="decoys", min_loss_reduction=math.inf, min_contrast=threshold)


def contrasted(contrast: float, *, loss_without: float = 9.0) -> Scored:
    """A call whose decoys are all worse than its result by so much."""
    return row(CallLosses(loss_without=loss_without, loss_in_place=0.0, losses_of_decoys=(contrast, contrast)))


def reduced_by(value: float, *, input_sees_future: bool = False) -> Scored:
    losses = CallLosses(loss_without=value, loss_with_call=9.0, loss_with_result=0.0)
    return row(losses, input_sees_future=input_sees_future)


def around(threshold: float) -> list[float]:
    """The threshold as a float32, its neighbours on either side, and numbers far from it."""
    at = np.float32(threshold)
    below, above = (np.nextafter(at, side, dtype=np.float32) for side in (np.float32(-9), np.float32(9)))
    return [*map(float, (at, below, above)), threshold - 0.5, threshold + 0.5]


def in_sql(expression: str, rows: list[Scored]) -> list[object]:
    columns = {field.name: [getattr(each, field.name) for each in rows] for field in fields(Scored)}
    with duckdb.connect() as connection:
        scored = connection.from_arrow(pa.table(columns, schema=arrow_schema(Scored)))
        return [value for (value,) in scored.project(expression).fetchall()]


def kept_by_sql(rule: KeepRule, rows: list[Scored]) -> list[object]:
    return in_sql(f"({rule.sql()}) IS TRUE", rows)


@pytest.mark.parametrize("strikes", [False, True])
@pytest.mark.parametrize("threshold", THRESHOLDS_TRIED)
def test_python_and_sql_keep_the_same_rows(threshold: float, strikes: bool) -> None:
    rule = paper(threshold, strikes=strikes)
    values = itertools.chain.from_iterable(map(around, THRESHOLDS_TRIED))
    rows = [reduced_by(value, input_sees_future=sees) for value in values for sees in (False, True)]
    unanswered = row(CallLosses(loss_without=3.0, loss_with_call=3.0))
    pruned = row(CallLosses(loss_without=3.0, loss_with_result=0.5))
    rows += [unanswered, pruned]
    kept = kept_by_sql(rule, rows)
    assert kept == [rule.keeps(each) for each in rows]
    assert 0 < sum(kept) < len(rows) - 2 and kept[-2:] == [False, False]
    assert in_sql(LARGEST_VALUE_SQL, [unanswered, pruned]) == [None, pruned.loss_without - 0.5]


def test_a_further_criterion_is_an_entry_of_the_table_and_all_criteria_must_be_met(monkeypatch) -> None:
    certainty = Criterion(column="loss_without", threshold="min_contrast")
    monkeypatch.setitem(CRITERIA, "paper", (*CRITERIA["paper"], certainty))
    tool = Adder(min_loss_reduction=1.0, min_contrast=1.5)
    rule = KeepRule.of(tool, "paper")
    assert rule == KeepRule(filter="paper", min_loss_reduction=1.0, min_contrast=1.5)
    rows = [make_row(Scored, loss_reduction=r, loss_without=w) for r, w in [(1.0, 1.5), (1.5, 1.25), (0.5, 1.5)]]
    assert [rule.keeps(each) for each in rows] == kept_by_sql(rule, rows) == [True, False, False]
    assert [rule.is_close_verdict(each) for each in rows] == [True, False, True]


def test_what_is_judged_is_a_column_of_scored_and_its_threshold_an_option_of_every_tool() -> None:
    criteria = [each for of_filter in CRITERIA.values() for each in of_filter]
    assert {each.column for each in criteria} <= {field.name for field in fields(Scored)}
    assert {each.threshold for each in criteria} <= {field.name for field in fields(Teaching)}
    without_default = {field.name for field in fields(KeepRule) if field.default is MISSING}
    assert {each.threshold for each in criteria} == without_default - {"filter"} == set(THRESHOLDS["both"])


def test_the_rule_of_a_run_is_read_from_its_settings_and_a_run_without_a_filter_has_the_papers() -> None:
    settings = {"adder.min-loss-reduction": 1.0}
    assert KeepRule.of_settings(settings, "adder", Adder()) == paper(1.0)
    settings = {"adder.min-contrast": 0.5, "filter": "decoys"}
    assert KeepRule.of_settings(settings, "adder", Adder()) == decoys(0.5)


def test_a_reduction_at_the_threshold_is_enough_and_one_float32_below_is_not() -> None:
    for threshold in THRESHOLDS_TRIED:
        at, below, *_ = around(threshold)
        rule = paper(threshold)
        assert (rule.keeps(reduced_by(at)), rule.keeps(reduced_by(below))) == (True, False)
        struck = paper(threshold, strikes=True)
        assert not struck.keeps(reduced_by(at, input_sees_future=True))


def test_the_baseline_is_the_smaller_of_no_call_and_the_call_without_its_result() -> None:
    assert CallLosses(loss_without=2.0, loss_with_call=3.0, loss_with_result=0.5).loss_reduction == 1.5
    assert CallLosses(loss_without=3.0, loss_with_call=2.0, loss_with_result=0.5).loss_reduction == 1.5
    for known in ({"loss_with_result": 1.0}, {"loss_with_call": 1.0}):
        losses = CallLosses(loss_without=2.0, **known)
        assert math.isnan(losses.loss_reduction) and losses.columns()["loss_reduction"] is None


def test_a_call_is_given_up_only_if_no_loss_that_is_missing_could_save_it() -> None:
    assert CallLosses(loss_without=2.0, loss_with_result=1.5).can_reach(0.5)
    assert not CallLosses(loss_without=2.0, loss_with_result=1.75).can_reach(0.5)
    assert CallLosses(loss_without=0.5).can_reach(0.5) and not CallLosses(loss_without=0.25).can_reach(0.5)
    assert CallLosses(loss_with_call=0.5).can_reach(0.5) and not CallLosses(loss_with_call=0.25).can_reach(0.5)


@pytest.mark.parametrize("threshold", THRESHOLDS_TRIED)
def test_what_cannot_reach_a_threshold_is_not_kept_at_it_to_the_last_digit(threshold: float) -> None:
    rule = paper(threshold)
    for value in (threshold, *around(threshold), math.nextafter(threshold, 0), math.nextafter(threshold, 9)):
        assert CallLosses(loss_without=value).can_reach(threshold) == rule.keeps(reduced_by(value))


def test_only_what_is_closer_to_a_threshold_than_batches_differ_is_computed_alone() -> None:
    rule, exact = paper(1.0), CallLosses(loss_without=1.0)
    for distance, is_settled in [(0.5 * CLOSE_NATS, True), (-0.5 * CLOSE_NATS, True), (2 * CLOSE_NATS, False)]:
        batched = CallLosses(loss_without=1.0 + distance)
        assert settle(batched, 1.0, lambda: exact) == (exact if is_settled else batched)
        assert rule.is_close_verdict(reduced_by(1.0 + distance)) == is_settled
    assert not rule.is_close_verdict(row(exact)), "without a reduction there is nothing to settle"


def test_the_bound_for_a_later_sweep_counts_only_if_it_is_lower() -> None:
    assert [paper(0.5).pruning_bound(below) for below in (None, 0.3, 9.0)] == [0.5, 0.3, 0.5]
    assert [decoys(0.7).pruning_bound(below) for below in (None, 0.3, 9.0)] == [0.7, 0.3, 0.7]
    both = KeepRule(filter="both", min_loss_reduction=0.5, min_contrast=0.7)
    assert both.pruning_bound(None) == 0.5, "its columns tell the paper's verdict too"


@pytest.mark.parametrize("threshold", THRESHOLDS_TRIED)
def test_with_decoys_python_and_sql_keep_what_reaches_the_threshold_where_the_text_has_as_much_to_lose(
    threshold: float,
) -> None:
    rule, values = decoys(threshold), around(threshold)
    rows = [contrasted(value) for value in values] + [contrasted(9.0, loss_without=value) for value in values]
    rows.append(row(CallLosses(loss_without=9.0, loss_in_place=0.0)))
    kept = [rule.keeps(each) for each in rows]
    assert kept == kept_by_sql(rule, rows) == [True, False, True, False, True] * 2 + [False]
    assert in_sql(VALUE_SQL, rows[:3]) == pytest.approx(values[:3])


def test_a_call_is_contrasted_with_the_mean_of_its_decoys() -> None:
    losses = CallLosses(loss_without=3.0, loss_in_place=0.5, losses_of_decoys=(1.0, 2.0, 3.0))
    assert losses.contrast == 1.5 and losses.columns()["losses_of_decoys"] == (1.0, 2.0, 3.0)
    assert math.isnan(CallLosses(loss_in_place=0.5).contrast)
    # The decoys' own contrasts are 2.5 - 1, 2 - 2 and 1.5 - 3.
    judged = [decoys(threshold).judge(row(losses)) for threshold in (1.5, 0.0, 1.6)]
    assert [(each.is_kept, each.decoys_passing) for each in judged] == [(True, 1), (True, 2), (False, 0)]


def test_a_decoy_that_is_close_to_passing_is_settled_alone_too() -> None:
    losses, exact = CallLosses(loss_without=9.0, loss_in_place=0.0, losses_of_decoys=(1.0, 2.0)), CallLosses()
    assert decoys(1.0 + 0.5 * CLOSE_NATS).settle_verdict(losses, lambda: exact) == exact
    assert decoys(1.0 + 2 * CLOSE_NATS).settle_verdict(losses, lambda: exact) == losses
    assert decoys(1.0 + 0.5 * CLOSE_NATS).is_close_verdict(row(losses))
