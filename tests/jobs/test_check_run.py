from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.check_run import check_run, main
from records.run_folder import RunFolder
from records.schema import RecordT
from records.stages import Augmented, Document, Dropped, Executed, Scored
from tests.small_run import SHARD, write, write_small_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_small_run(str(tmp_path / "run"))


def edit(run: RunFolder, table: str, record: type[RecordT], change: Callable[[list[RecordT]], list[RecordT]]) -> None:
    write(run, table, record, change(run.read_shard(table, SHARD, record)))


def findings(run: RunFolder) -> list[str]:
    return check_run(run.location).findings


def test_a_run_in_which_everything_is_accounted_for(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([run.location]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 texts: 1 in C* with 1 calls, 1 without a call, 0 in failed shards",
        "everything is accounted for",
    ]


def test_a_text_that_left_without_a_reason_is_found(run: RunFolder) -> None:
    edit(run, "dropped/propose", Dropped, lambda rows: [row for row in rows if row.reason != "no_position"])
    assert findings(run) == [f"{SHARD}: text b-0 has neither a call of MT nor a reason why not"]


def test_a_call_that_was_lost_on_its_way_is_found(run: RunFolder) -> None:
    edit(run, "executed", Executed, lambda rows: rows[:1] + rows[2:])
    edit(run, "scored", Scored, lambda rows: rows[:1] + rows[2:])
    (finding,) = findings(run)
    assert finding.startswith(f"{SHARD}: 1 calls are not executed, or from nowhere") and "1400 - 400" in finding


def test_a_document_that_was_changed_is_found(run: RunFolder) -> None:
    edit(run, "documents", Document, lambda rows: [replace(rows[0], text=rows[0].text + " "), rows[1]])
    assert findings(run) == [f"{SHARD}: text a-0 of C* without its calls is not the document"]


def test_a_call_that_does_not_stand_where_it_should_is_found(run: RunFolder) -> None:
    edit(run, "augmented", Augmented, lambda rows: [replace(rows[0], text=" " + rows[0].text)])
    (finding,) = findings(run)
    assert finding.startswith(f"{SHARD}: text a-0 of C* does not hold its calls: no call ' [Calculator(400 / 1400)")


def test_a_kept_call_that_neither_stands_in_a_text_nor_gave_way_is_found(run: RunFolder) -> None:
    edit(run, "dropped/interleave", Dropped, lambda _: [])
    assert findings(run) == [f"{SHARD}: 2 calls were kept, 1 stand in C*, 0 gave way to another"]


def test_a_shard_without_an_output_has_to_be_among_the_failed_ones(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run.delete(f"augmented/{SHARD}.parquet")
    assert main([run.location]) == 1
    assert f"{SHARD}: has no augmented, and has not failed" in capsys.readouterr().out
    run.write_json(f"failed/interleave/{SHARD}.json", {"error": "x"})
    assert main([run.location]) == 0
    assert "2 in failed shards" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "no run folder in" in capsys.readouterr().err


def test_a_run_whose_tools_nobody_knows_is_one_line(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_json("run.json", {"settings": {"tools": ["calculator", "abacus"]}})
    assert main([run.location]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"check_run: {run.location} was made with tools that are not here: abacus"


def test_the_failed_shards_are_listed_once_in_all(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        write(run, "documents", Document, [], shard=f"part-0000{number}")
    listed = []
    list_shards = RunFolder.shards
    monkeypatch.setattr(
        RunFolder, "shards", lambda self, table, *more: listed.append(table) or list_shards(self, table, *more)
    )
    check_run(run.location)
    assert sorted(listed) == sorted(set(listed))
