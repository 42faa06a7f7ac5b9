"""How long tools took, as counts in footers that add up."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.small_world import make_document, make_executed
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Executed
from toolformer_ray.workflow.report.status import tool_times
from toolformer_ray.workflow.shard.counts import count_rows
from toolformer_ray.workflow.shard.latency import bucket_of, latencies, middle, percentile, total_seconds

CALL = make_executed(make_document("5 and 5"), 1, 1, seconds=0.5)


@pytest.mark.parametrize("seconds", [2e-6, 0.0031, 0.4999, 0.5, 0.5001, 1.0, 59.9])
def test_the_middle_of_a_bucket_is_within_a_tenth_of_every_time_in_it(seconds: float) -> None:
    assert middle(bucket_of(seconds)) == pytest.approx(seconds, rel=0.0911)


def test_buckets_are_quarters_of_a_doubling_and_no_time_is_too_short() -> None:
    # 4 log2(0.5) = -4; 4 log2(0.49) = -4.12
    assert [bucket_of(seconds) for seconds in (0.49, 0.5, 1.0, 2.0)] == [-5, -4, 0, 4]
    assert bucket_of(0.0) == bucket_of(1e-6)


def test_percentiles_are_nearest_ranks_over_all_shards_together() -> None:
    # 100 calls: 94 of bucket 0, 4 of bucket 8, 2 of bucket 12. Rank 50 is in 0, 95 in 8, 99 in 12.
    shards = [Counter({0: 90, 8: 1}), Counter({0: 4, 8: 3, 12: 2})]
    together = sum(shards, Counter[int]())
    assert [percentile(together, share) for share in (0.5, 0.94, 0.95, 0.98, 0.99)] == [
        *(middle(0), middle(0), middle(8), middle(8), middle(12))
    ]
    assert percentile({}, 0.5) is None
    assert total_seconds({0: 2, 4: 1}) == 2 * middle(0) + middle(4)


def test_only_calls_that_the_tool_was_asked_for_are_timed() -> None:
    rows = [
        CALL,
        replace(CALL, status="timeout", seconds=8.0),
        replace(CALL, from_cache=True, seconds=0.0),
        replace(CALL, status="unavailable", note="not_asked", seconds=0.0),
        replace(CALL, tool="MT", seconds=1.0),
    ]
    counts = count_rows("execute", rows, [])
    assert latencies(counts, "Add") == {bucket_of(0.5): 1, bucket_of(8.0): 1}
    told = tool_times(counts, "Add")
    assert (told.asked, told.from_cache, told.p50, told.p99) == (2, 1, middle(-4), middle(12))


def test_how_long_a_tool_took_is_no_part_of_a_shards_content(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    headers = [
        run.write_shard("executed", "part-0", Executed, [row], fingerprint="0", counts=count_rows("execute", [row], []))
        for row in (CALL, replace(CALL, seconds=7.0), replace(CALL, from_cache=True))
    ]
    assert len({header.content for header in headers}) == 1
    assert headers[0].counts != headers[1].counts
