"""Counts of shards, and the tables that sum them up."""

from collections import Counter
from dataclasses import replace

from jobs.counting import count_rows
from jobs.progress import Snapshot, describe, describe_seconds
from jobs.summary import ToolYield, drop_table, text_table, tool_yields
from records.stages import Candidate, Dropped, Executed, Scored

CANDIDATE = Candidate(
    text_id="t-0",
    tool="Calculator",
    token_index=3,
    char_offset=9,
    open_probability=0.5,
    call_input="1+1",
    num_samples=2,
    loss_without=2.0,
)
EXECUTED = Executed(**vars(CANDIDATE), status="ok", result="2", seconds=0.1, from_cache=False)
SCORED = Scored(
    **vars(EXECUTED) | {"loss_with_call": 2.0},
    loss_with_result=1.0,
    loss_reduction=1.0,
    input_sees_future=False,
    sees_future=False,
    is_kept=True,
)


def dropped(reason: str, *, tool: str | None = "Calculator", char_offset: int | None = None, count: int = 1) -> Dropped:
    return Dropped(
        stage="propose", reason=reason, text_id="t-0", tool=tool, char_offset=char_offset, detail=None, count=count
    )


def test_a_place_counts_once_whether_it_gave_two_calls_or_none() -> None:
    rows = [CANDIDATE, replace(CANDIDATE, call_input="2+2"), replace(CANDIDATE, char_offset=20)]
    drops = [dropped("sample_malformed", char_offset=9, count=4), dropped("loss_already_low", char_offset=30)]
    assert count_rows("propose", rows, drops) == {
        "rows": 3,
        "calls.Calculator": 3,
        "places.Calculator": 3,  # characters 9, 20 and 30
        "dropped.sample_malformed.Calculator": 4,
        "dropped.loss_already_low.Calculator": 1,
    }


def test_an_executed_row_is_counted_by_status_and_a_scored_one_if_it_is_kept() -> None:
    assert count_rows("execute", [EXECUTED, replace(EXECUTED, status="timeout")], []) == {
        "rows": 2,
        "status.ok.Calculator": 1,
        "status.timeout.Calculator": 1,
    }
    assert count_rows("score", [SCORED, replace(SCORED, is_kept=False)], []) == {"rows": 2, "kept.Calculator": 1}


def test_texts_offered_are_those_that_the_tool_wanted_and_the_window_holds() -> None:
    counts = {
        "ingest": Counter(rows=10),
        "propose": Counter({"dropped.not_offered.MT": 4, "dropped.too_long.MT": 1, "calls.MT": 7, "places.MT": 6}),
        "execute": Counter({"status.ok.MT": 5, "status.empty.MT": 2}),
        "score": Counter({"kept.MT": 3}),
        "interleave": Counter({"inserted.MT": 2}),
    }
    expected = ToolYield(tool="MT", offered=5, places=6, calls=7, answered=5, kept=3, inserted=2)
    assert tool_yields(counts, ["MT"]) == [expected]
    assert "propose  not_offered      MT         4" in drop_table(counts)


def test_a_table_is_as_wide_as_its_cells_with_numbers_to_the_right() -> None:
    assert text_table(["tool", "n"], [["QA", 5], ["MT", 1234]]) == "tool      n\n----  -----\nQA        5\nMT    1,234"


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


def test_durations_have_two_units_at_most() -> None:
    written = [describe_seconds(seconds) for seconds in (0.4, 59, 60, 3_725, 90_000)]
    assert written == ["0 s", "59 s", "1 min", "1 h 2 min", "1 d 1 h"]
