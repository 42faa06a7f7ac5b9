"""How long tools took, as `toolformer status` shows it: percentiles over the calls that they were asked."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.small_run import STAGES
from tests.support.small_world import make_document, make_executed
from toolformer_ray.records.run_folder import RunFolder, shard_name
from toolformer_ray.records.stages import Executed
from toolformer_ray.workflow.report import times
from toolformer_ray.workflow.report.times import ToolTimes, read_times
from toolformer_ray.workflow.shard.counts import count_output

CALL = make_executed(make_document("5 and 5"), 1, 1, seconds=0.5)


def times_of(run: RunFolder, shards: list[list[Executed]]) -> list[ToolTimes]:
    for number, rows in enumerate(shards):
        run.write_shard("executed", shard_name(number), Executed, rows, fingerprint="0", counts={})
    counts = count_output(STAGES["execute"], [row for rows in shards for row in rows], [])
    return read_times(run, {"execute": counts}, ["Add", "MT", "QA"])


def test_percentiles_are_nearest_ranks_over_all_shards_and_only_asked_calls_count(tmp_path: Path) -> None:
    not_asked = [
        replace(CALL, from_cache=True, seconds=0.0),
        replace(CALL, status="unavailable", note="not_asked", seconds=0.0),
        replace(CALL, note="not_recorded", seconds=0.0),
    ]
    # 100 calls: 94 of 1 s, 4 of 2 s, 2 of 4 s. Rank 50 is among the first, 95 among the second, 99 among the last.
    asked = [replace(CALL, seconds=seconds) for seconds in [1.0] * 94 + [2.0] * 4 + [4.0] * 2]
    shards = [[*asked[:50], *not_asked], [*asked[50:], replace(CALL, tool="MT", from_cache=True)]]
    assert times_of(RunFolder(str(tmp_path)), shards) == [
        ToolTimes(tool="Add", asked=100, from_cache=1, p50=1.0, p95=2.0, p99=4.0),
        ToolTimes(tool="MT", asked=0, from_cache=1, p50=None, p95=None, p99=None),
    ]


def test_of_a_large_run_some_shards_speak_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "MAX_SHARDS_READ", 2)
    # Of five shards every third is read.
    shards = [[replace(CALL, seconds=float(number))] for number in (1, 7, 7, 1, 7)]
    (row,) = times_of(RunFolder(str(tmp_path)), shards)
    assert (row.asked, row.p50, row.p99) == (5, 1.0, 1.0)
