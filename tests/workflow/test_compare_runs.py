from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.small_run import SHARD, write, write_small_run
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Document, Scored
from toolformer_ray.workflow.verify.compare import compare_runs, main


@pytest.fixture
def one(tmp_path: Path) -> RunFolder:
    return write_small_run(str(tmp_path / "one"))


@pytest.fixture
def other(tmp_path: Path) -> RunFolder:
    return write_small_run(str(tmp_path / "other"))


def test_rows_may_stand_in_other_shards(one: RunFolder, other: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = other.read_shard("documents", SHARD, Document)
    write(other, "documents", Document, [first])
    other.write_shard("documents", "part-00001", Document, [second], fingerprint="0", counts={})
    assert main([one.location, other.location]) == 0
    assert capsys.readouterr().out.startswith("the same rows; compared 2 of documents, 5 of candidates")


def test_numbers_may_differ_by_a_hair_and_luck_does_not_count(one: RunFolder, other: RunFolder) -> None:
    rows = other.read_shard("scored", SHARD, Scored)
    rows[0] = replace(rows[0], loss_without=rows[0].loss_without + 5e-5, seconds=9.0, from_cache=True)
    write(other, "scored", Scored, rows)
    comparison = compare_runs(one.location, other.location)
    assert comparison.differences == [] and 4e-5 < comparison.largest_gap < 6e-5


def test_a_verdict_a_number_and_a_call_that_differ_are_named(
    one: RunFolder, other: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = other.read_shard("scored", SHARD, Scored)
    write(other, "scored", Scored, [replace(rows[0], is_kept=False, loss_without=3.5), *rows[1:]])
    (row,) = other.read_shard("augmented", SHARD, Augmented)
    write(other, "augmented", Augmented, [replace(row, calls=(replace(row.calls[0], result="0.3"),))])
    assert main([one.location, other.location]) == 1
    assert capsys.readouterr().out.splitlines()[:3] == [
        "scored row 0: loss_without is 3.0 and 3.5",
        "scored row 0: is_kept is True and False",
        "augmented row 0: result is '0.29' and '0.3'",
    ]


def test_a_missing_row_is_named(one: RunFolder, other: RunFolder) -> None:
    write(other, "documents", Document, other.read_shard("documents", SHARD, Document)[:1])
    assert compare_runs(one.location, other.location).differences == ["documents: only one of the runs has a row 1"]


def test_a_folder_that_is_no_run_is_one_line(one: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([one.location, "nowhere"]) == 2
    assert "no run folder in" in capsys.readouterr().err
