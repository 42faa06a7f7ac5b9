"""Counts of shards, and the tables that sum them up."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.support.rows import make_row
from tests.support.small_run import STAGES
from tests.support.stand_in import STAND_IN_PIPELINE
from toolformer_ray.records.counts import ROWS, Count, read_counts
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.records.stages import Candidate, Dropped, Executed, Scored
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.report.progress import Snapshot, describe, describe_seconds, take_snapshot
from toolformer_ray.workflow.report.tables import describe_unanswered, drop_table, false_share_table, pruned_table
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.report.yields import ToolYield, chances, tool_yields
from toolformer_ray.workflow.shard.counts import count_output

CALL = {"tool": "Calculator", "char_offset": 9, "call_input": "1+1", "result": "2", "seconds": 0.1}
CANDIDATE = make_row(Candidate, **{name: CALL[name] for name in ("tool", "char_offset", "call_input")})
EXECUTED = make_row(Executed, **CALL)
SCORED = make_row(Scored, **CALL, loss_with_call=2.0)


def dropped(reason: str, *, tool: str | None = "Calculator", char_offset: int | None = None, count: int = 1) -> Dropped:
    return make_row(Dropped, reason=reason, tool=tool, char_offset=char_offset, count=count)


def test_a_place_counts_once_whether_it_gave_two_calls_or_none() -> None:
    rows = [CANDIDATE, replace(CANDIDATE, call_input="2+2"), replace(CANDIDATE, char_offset=20)]
    drops = [dropped("sample_malformed", char_offset=9, count=4), dropped("loss_already_low", char_offset=30)]
    assert count_output(STAGES["propose"], rows, drops) == {
        ROWS: 3,
        Count("calls", tool="Calculator"): 3,
        Count("places", tool="Calculator"): 3,  # characters 9, 20 and 30
        Count("dropped", "sample_malformed", "Calculator"): 4,
        Count("dropped", "loss_already_low", "Calculator"): 1,
    }


def test_an_executed_row_is_counted_by_status_and_by_how_the_answer_was_come_by() -> None:
    rows = [
        EXECUTED,
        replace(EXECUTED, status="timeout", seconds=8.0),
        replace(EXECUTED, from_cache=True, seconds=0.0),
        replace(EXECUTED, status="unavailable", note="not_asked", seconds=0.0),
    ]
    assert count_output(STAGES["execute"], rows, []) == {
        ROWS: 4,
        Count("status", "ok", "Calculator"): 2,
        Count("status", "timeout", "Calculator"): 1,
        Count("status", "unavailable", "Calculator"): 1,
        Count("note", "not_asked", "Calculator"): 1,
        Count("from_cache", tool="Calculator"): 1,
        Count("asked", tool="Calculator"): 2,
        Count("microseconds", tool="Calculator"): 8_100_000,
    }


def test_a_scored_row_is_counted_if_it_is_kept() -> None:
    counts = count_output(STAGES["score"], [SCORED, replace(SCORED, is_kept=False)], [])
    assert counts == {ROWS: 2, Count("kept", tool="Calculator"): 1}


def test_texts_offered_are_those_that_the_tool_wanted_and_the_window_holds() -> None:
    counts = {
        "ingest": read_counts({"rows": 10}),
        "propose": read_counts({"dropped.not_offered.MT": 4, "dropped.too_long.MT": 1, "calls.MT": 7, "places.MT": 6}),
        "execute": read_counts({"status.ok.MT": 5, "status.empty.MT": 2}),
        "score": read_counts({"kept.MT": 3}),
        "interleave": read_counts({"inserted.MT": 2}),
    }
    expected = ToolYield(tool="MT", offered=5, places=6, calls=7, answered=5, kept=3, inserted=2)
    assert tool_yields(counts, ["MT"]) == [expected]
    assert "propose  not_offered      MT         4" in drop_table(counts)


def test_what_was_pruned_is_counted_by_the_loss_that_settled_it() -> None:
    drops = [
        dropped("loss_already_low", char_offset=30),
        dropped("loss_already_low_with_call", char_offset=9),
        dropped("loss_already_low_with_call", char_offset=20),
    ]
    lost_at_once = replace(SCORED, loss_with_call=None, loss_reduction=None, is_kept=False)
    unanswered = replace(lost_at_once, status="timeout", result=None, loss_with_result=None)
    counts = {
        "ingest": Counter({ROWS: 1}),
        "propose": count_output(STAGES["propose"], [CANDIDATE], drops),
        "score": count_output(STAGES["score"], [SCORED, *[lost_at_once] * 3, unanswered], []),
    }
    table = pruned_table(counts, ["Calculator"])
    assert table.splitlines()[-1].split() == ["Calculator", "1", "2", "3"]
    # Calls that the tool was spared were sampled like all others.
    assert tool_yields(counts, ["Calculator"])[0].calls == 3
    assert pruned_table({"propose": Counter(), "score": Counter()}, ["Calculator"]) == ""


def test_a_table_is_as_wide_as_its_cells_with_numbers_to_the_right() -> None:
    assert text_table(["tool", "n"], [["QA", 5], ["MT", 1234]]) == "tool      n\n----- -----\nQA        5\nMT    1,234"


def test_a_progress_line_tells_speed_time_left_and_yield() -> None:
    snapshot = Snapshot(
        state="running",
        updated=0.0,
        texts=1500,
        finished_texts=500,
        is_ingesting=False,
        texts_per_second=2.0,
        seconds_left=500.0,
        in_flight={"propose": 2, "execute": 0},
        opening=["model"],
        failed_shards=0,
        calls={"QA": 40},
        kept={"QA": 4},
    )
    assert (
        describe(snapshot)
        == "500 of 1,500 texts; 2.0 texts/s; 8 min 20 s left; kept of calls: QA 4/40; now: propose 2; opening: model"
    )
    early = replace(snapshot, is_ingesting=True, seconds_left=None, failed_shards=1)
    assert describe(early).startswith(
        "500 of at least 1,500 texts; 2.0 texts/s; kept of calls: QA 4/40; failed shards: 1"
    )
    begun = replace(
        snapshot, texts=0, finished_texts=0, texts_per_second=0.0, seconds_left=None, calls={}, in_flight={}
    )
    assert describe(begun) == "no text yet; opening: model"
    first = replace(begun, texts=40, seconds_left=90.0, in_hand={"prompts": 12, "samples": 1200}, opening=())
    assert describe(first) == "0 of 40 texts; 1 min 30 s left; 12 prompts, 1,200 samples"


def test_before_the_first_text_is_through_the_time_left_is_guessed_from_the_prompts_that_were_read() -> None:
    ledger = Ledger(STAND_IN_PIPELINE, {stage.name: "f" for stage in STAND_IN_PIPELINE}, {})
    ledger.admit("part-00000", ShardHeader(fingerprint="f", counts={ROWS: 40}, content="c", parts={}))

    def seconds_left(**given: Any) -> float | None:
        told = {"state": "running", "seconds": 10.0, "tools": ["A", "B"], "is_ingesting": False}
        return take_snapshot(ledger, **told | given).seconds_left

    # 20 prompts of two tools are 10 texts' worth, and proposing is 0.7 of the work: 40 texts take 57 s.
    assert seconds_left(in_hand={"prompts": 20}) == pytest.approx(40 / (0.7 * 10 / 10.0))
    assert seconds_left() is None


def test_durations_have_two_units_at_most() -> None:
    written = [describe_seconds(seconds) for seconds in (0.4, 59, 60, 3_725, 90_000)]
    assert written == ["0 s", "59 s", "1 min", "1 h 2 min", "1 d 1 h"]


def test_calls_that_another_attempt_may_answer_are_counted_by_status() -> None:
    written = {"status.ok.Add": 5, "status.crashed.Add": 2, "status.timeout.Add": 1, "status.crashed.MT": 1}
    assert describe_unanswered({"execute": read_counts(written)}) == (
        "4 calls were not answered (timeout 1, crashed 3); annotate with --retry-failed asks them again"
    )
    assert describe_unanswered({"execute": read_counts({"status.bad_input.Add": 1})}) == ""


def test_the_false_share_is_told_of_the_counts_of_judged_calls() -> None:
    # The decoys' own contrasts are 1.75 - 0.5, 1.25 - 1 and 0.5 - 3.
    losses = {"loss_in_place": 0.0, "losses_of_decoys": (0.5, 1.0, 2.5), "contrast": 4 / 3, "decoys_passing": 1}
    rows = [replace(SCORED, **losses) for _ in range(4)]
    rows += [replace(SCORED, **losses | {"contrast": -1.0, "is_kept": False}) for _ in range(4)]
    [(tool, chance)] = chances({"score": count_output(STAGES["score"], rows, [])}, ["Calculator", "MT"]).items()
    assert (tool, chance.kept, chance.calls, chance.calls_below) == ("Calculator", 4, 8, 4)
    assert (chance.decoys, chance.decoys_passing, chance.decoys_below) == (24, 8, 8)
    # 8 calls, of which a third of the decoys pass; half of the results and a third of the decoys are below 0.
    assert chance.false_share == pytest.approx(8 / 3 * min(1, 1.5) / 4)
    *_, row, advice = false_share_table({tool: chance}).splitlines()
    assert row.split()[-1] == "66.7%"
    assert advice.startswith("More than a fifth of what is kept of Calculator may be chance: ")
    assert "may be chance" not in false_share_table({tool: replace(chance, decoys_passing=2)})
    assert false_share_table({}) == ""
