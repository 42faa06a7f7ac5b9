"""The rule by which calls are kept: in Python, in SQL, and what can be told of it while losses are missing."""

import itertools
import math
from dataclasses import MISSING, dataclass, fields

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from tests.support.rows import make_row
from tests.support.small_world import Adder
from toolformer_ray.losses import verdict
from toolformer_ray.losses.verdict import (
    CLOSE_NATS,
    CRITERIA,
    LARGEST_REDUCTION_SQL,
    CallLosses,
    Criterion,
    KeepRule,
    settle,
)
from toolformer_ray.records.schema import arrow_schema
from toolformer_ray.records.stages import Scored
from toolformer_ray.tools.options import Teaching

THRESHOLDS = (0.1, 0.3, 1.0, 1 / 3, 1e-5, 2.0000001)


def row(losses: CallLosses, *, input_sees_future: bool = False) -> Scored:
    return make_row(Scored, **losses.columns(), input_sees_future=input_sees_future)


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
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_python_and_sql_keep_the_same_rows(threshold: float, strikes: bool) -> None:
    rule = KeepRule(min_loss_reduction=threshold, strikes_future_inputs=strikes)
    values = itertools.chain.from_iterable(map(around, THRESHOLDS))
    rows = [reduced_by(value, input_sees_future=sees) for value in values for sees in (False, True)]
    unanswered = row(CallLosses(loss_without=3.0, loss_with_call=3.0))
    pruned = row(CallLosses(loss_without=3.0, loss_with_result=0.5))
    rows += [unanswered, pruned]
    kept = kept_by_sql(rule, rows)
    assert kept == [rule.keeps(each) for each in rows]
    assert 0 < sum(kept) < len(rows) - 2 and kept[-2:] == [False, False]
    assert in_sql(LARGEST_REDUCTION_SQL, [unanswered, pruned]) == [None, pruned.loss_without - 0.5]


def test_a_further_criterion_is_an_entry_of_the_table_and_a_field_and_all_criteria_must_be_met(monkeypatch) -> None:
    sureness = Criterion(
        column="open_probability", value=lambda losses: losses.loss_without / 10, threshold="min_open_probability"
    )
    monkeypatch.setattr(verdict, "CRITERIA", (*CRITERIA, sureness))

    @dataclass(frozen=True, kw_only=True)
    class SureRule(KeepRule):
        min_open_probability: float

    tool = Adder(min_loss_reduction=1.0, min_open_probability=0.3)
    rule = SureRule.of(tool)
    settings = {"adder.min-loss-reduction": 1.0, "adder.min-open-probability": 0.3}
    assert rule == SureRule.of_settings(settings, "adder", tool)
    assert rule == SureRule(min_loss_reduction=1.0, min_open_probability=0.3)
    values = [(1.0, 0.3), (1.5, 0.25), (0.5, 0.3)]
    rows = [make_row(Scored, loss_reduction=r, open_probability=float(np.float32(p))) for r, p in values]
    assert [rule.keeps(each) for each in rows] == kept_by_sql(rule, rows) == [True, False, False]
    assert [rule.is_close_verdict(each) for each in rows] == [True, False, True]
    close, exact = CallLosses(loss_without=3.0, loss_with_call=3.0, loss_with_result=0.0), CallLosses(loss_without=2.9)
    assert rule.settle_verdict(close, lambda: exact) == exact
    assert close.columns()["open_probability"] == np.float32(0.3)


def test_what_is_judged_is_a_column_of_scored_and_its_threshold_an_option_of_every_tool() -> None:
    assert {each.column for each in CRITERIA} <= {field.name for field in fields(Scored)}
    assert {each.threshold for each in CRITERIA} <= {field.name for field in fields(Teaching)}
    without_default = {field.name for field in fields(KeepRule) if field.default is MISSING}
    assert {each.threshold for each in CRITERIA} == without_default


def test_a_reduction_at_the_threshold_is_enough_and_one_float32_below_is_not() -> None:
    for threshold in THRESHOLDS:
        at, below, *_ = around(threshold)
        rule = KeepRule(min_loss_reduction=threshold)
        assert (rule.keeps(reduced_by(at)), rule.keeps(reduced_by(below))) == (True, False)
        struck = KeepRule(min_loss_reduction=threshold, strikes_future_inputs=True)
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


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_what_cannot_reach_a_threshold_is_not_kept_at_it_to_the_last_digit(threshold: float) -> None:
    rule = KeepRule(min_loss_reduction=threshold)
    for value in (threshold, *around(threshold), math.nextafter(threshold, 0), math.nextafter(threshold, 9)):
        assert CallLosses(loss_without=value).can_reach(threshold) == rule.keeps(reduced_by(value))


def test_only_what_is_closer_to_a_threshold_than_batches_differ_is_computed_alone() -> None:
    rule, exact = KeepRule(min_loss_reduction=1.0), CallLosses(loss_without=1.0)
    for distance, is_settled in [(0.5 * CLOSE_NATS, True), (-0.5 * CLOSE_NATS, True), (2 * CLOSE_NATS, False)]:
        batched = CallLosses(loss_without=1.0 + distance)
        assert settle(batched, 1.0, lambda: exact) == (exact if is_settled else batched)
        assert rule.is_close_verdict(reduced_by(1.0 + distance)) == is_settled
    assert not rule.is_close_verdict(row(exact)), "without a reduction there is nothing to settle"


def test_the_bound_for_a_later_sweep_counts_only_if_it_is_lower() -> None:
    rule = KeepRule(min_loss_reduction=0.5)
    assert [rule.pruning_bound(below) for below in (None, 0.3, 9.0)] == [0.5, 0.3, 0.5]
