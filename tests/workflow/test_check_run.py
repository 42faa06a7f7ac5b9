from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.rows import make_row
from tests.support.small_run import SHARD, STAGES, write, write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.counts import Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import RecordT
from toolformer_ray.records.stages import Augmented, Candidate, Document, Dropped, Executed, Scored
from toolformer_ray.workflow.shard.counts import count_output
from toolformer_ray.workflow.verify.check import check_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_small_run(str(tmp_path / "run"))


def edit(run: RunFolder, table: str, record: type[RecordT], change: Callable[[list[RecordT]], list[RecordT]]) -> None:
    write(run, table, record, change(run.read_shard(table, SHARD, record)))


def findings(run: RunFolder) -> list[str]:
    return check_run(run.location).findings


def test_a_run_in_which_everything_is_accounted_for(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", run.location]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2 texts: 1 in C* with 1 calls, 1 without a call, 0 in failed shards",
        "everything is accounted for",
    ]


def test_a_text_that_left_without_a_reason_is_found(run: RunFolder) -> None:
    edit(run, "dropped/propose", Dropped, lambda rows: [row for row in rows if row.reason != "no_position"])
    assert findings(run) == [f"{SHARD}, propose: text b-0 has neither a call of MT nor a reason why not"]


def test_a_call_that_was_lost_on_its_way_is_found(run: RunFolder) -> None:
    edit(run, "executed", Executed, lambda rows: rows[:1] + rows[2:])
    edit(run, "scored", Scored, lambda rows: rows[:1] + rows[2:])
    (finding,) = findings(run)
    assert finding.startswith(f"{SHARD}, execute: 1 calls do not go on, or") and "1400 - 400" in finding


def test_a_call_that_broke_a_stage_is_accounted_for_by_its_drop(run: RunFolder) -> None:
    (broken,) = run.read_shard("candidates", SHARD, Candidate)[2:3]
    drop = {"reason": "broken", "text_id": broken.text_id, "tool": broken.tool, "detail": "KeyError: x", "count": 1}
    drops = [Dropped(stage="execute", char_offset=broken.char_offset, **drop)]
    executed = [row for row in run.read_shard("executed", SHARD, Executed) if row.call_input != broken.call_input]
    for table, record, rows in (("executed", Executed, executed), ("dropped/execute", Dropped, drops)):
        write(run, table, record, rows, count_output(STAGES["execute"], executed, drops))
    edit(run, "scored", Scored, lambda rows: [row for row in rows if row.call_input != broken.call_input])
    assert findings(run) == []
    edit(run, "executed", Executed, lambda rows: rows[1:])
    edit(run, "scored", Scored, lambda rows: rows[1:])
    assert [", ".join(finding.split(", ")[:2]) for finding in findings(run)] == [
        f"{SHARD}, execute: 1 calls do not go on",
        f"{SHARD}, interleave: 1 calls were kept",
    ]


def test_a_call_that_was_dropped_and_goes_on_is_found(run: RunFolder) -> None:
    call = run.read_shard("executed", SHARD, Executed)[2]
    drop = {"reason": "broken", "text_id": call.text_id, "tool": call.tool, "detail": None, "count": 1}
    drops = [Dropped(stage="execute", char_offset=call.char_offset, **drop)]
    write(run, "dropped/execute", Dropped, drops, counts := {Count("dropped", "broken", "Calculator"): 1})
    write(run, "executed", Executed, run.read_shard("executed", SHARD, Executed), counts)
    (finding,) = findings(run)
    assert finding.startswith(f"{SHARD}, execute: 1 calls were dropped and go on all the same, such as ('a-0', 'Calc")


def test_a_document_that_was_changed_is_found(run: RunFolder) -> None:
    edit(run, "documents", Document, lambda rows: [replace(rows[0], text=rows[0].text + " "), rows[1]])
    assert findings(run) == [f"{SHARD}, interleave: text a-0 of C* without its calls is not the document"]


def test_a_call_that_does_not_stand_where_it_should_is_found(run: RunFolder) -> None:
    edit(run, "augmented", Augmented, lambda rows: [replace(rows[0], text=" " + rows[0].text)])
    (finding,) = findings(run)
    assert finding.startswith(f"{SHARD}, interleave: text a-0 of C* does not hold its calls: no call ' [")


def test_a_kept_call_that_neither_stands_in_a_text_nor_gave_way_is_found(run: RunFolder) -> None:
    edit(run, "dropped/interleave", Dropped, lambda rows: [replace(rows[0], tool="Calculator")])
    assert findings(run) == [f"{SHARD}, interleave: 2 calls were kept, 1 stand in C*, 1 gave way to another"]


def test_a_shard_without_an_output_has_to_be_among_the_failed_ones(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run.delete(f"augmented/{SHARD}.parquet")
    assert main(["verify", run.location]) == 1
    assert f"{SHARD}: has no augmented, and has not failed" in capsys.readouterr().out
    run.write_json(f"failed/interleave/{SHARD}.json", {"error": "x"})
    assert main(["verify", run.location]) == 0
    assert "2 in failed shards" in capsys.readouterr().out


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 2
    assert "no run folder in" in capsys.readouterr().err


def test_a_run_whose_tools_nobody_knows_is_one_line(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_json("run.json", {"settings": {"tools": ["calculator", "abacus"]}})
    assert main(["verify", run.location]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"toolformer: {run.location} was made with tools that are not here: abacus"


def test_the_failed_shards_are_listed_once_in_all(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 4):
        write(run, "documents", Document, [], shard=f"part-0000{number}")
    listed = []
    list_shards = RunFolder.shards
    monkeypatch.setattr(
        RunFolder, "shards", lambda self, table, *more: listed.append(table) or list_shards(self, table, *more)
    )
    check_run(run.location)
    failed = [table for table in listed if table.startswith("failed/")]
    assert failed and sorted(failed) == sorted(set(failed))


def test_a_call_that_occurs_twice_is_found(run: RunFolder) -> None:
    for table, record in (("candidates", Candidate), ("executed", Executed), ("scored", Scored)):
        edit(run, table, record, lambda rows: [*rows, rows[1]])
    assert [", ".join(finding.split(", ")[:2]) for finding in findings(run)] == [
        f"{SHARD}, {stage}: 1 calls are there more than once" for stage in ("propose", "execute", "score")
    ]


def test_files_that_do_not_hold_what_their_footers_tell_are_named(run: RunFolder) -> None:
    folder = Path(run.root)
    (folder / "scored/part-00003.parquet").write_bytes(b"")
    whole = pq.read_table(folder / "executed" / f"{SHARD}.parquet")
    pq.write_table(whole.slice(1), folder / "executed" / f"{SHARD}.parquet")
    pq.write_table(whole.select(["text_id"]), folder / "candidates" / f"{SHARD}.parquet")
    found = findings(run)
    assert len(found) == 3
    remedy = "delete it and annotate makes it again"
    file = f"{SHARD}: {folder}/{{}}/{SHARD}.parquet is damaged: {{}}; {remedy}"
    assert file.format("candidates", "its columns are not those of a Candidate") in found
    assert file.format("executed", "its rows are not those that its footer tells of") in found
    assert found[2].startswith(f"part-00003: {folder}/scored/part-00003.parquet is damaged: ")


def test_rows_without_what_was_dropped_beside_them_are_found(run: RunFolder) -> None:
    run.delete(f"dropped/propose/{SHARD}.parquet")
    write(run, "dropped/score", Dropped, [make_row(Dropped, stage="score", reason="broken", tool="MT")])
    assert findings(run) == [
        f"{SHARD}: dropped/propose does not hold what candidates tells that was dropped",
        f"{SHARD}: dropped/score does not hold what scored tells that was dropped",
    ]


def test_a_shard_of_another_run_is_found(run: RunFolder) -> None:
    write(run, "scored", Scored, [], shard="part-00007")
    assert findings(run) == ["part-00007: is in scored but not in documents"]


def test_outputs_that_were_made_with_other_settings_are_found(run: RunFolder) -> None:
    stages = ("ingest", "propose", "execute", "score", "interleave")
    told = run.read_json("run.json") | {"stage_fingerprints": dict.fromkeys(stages, "f")}
    run.write_json("run.json", told)
    run.write_json("ingest.json", {"shards": {SHARD: "another"}})
    assert findings(run) == [
        f"{SHARD}: its documents are not those that were read from the corpus",
        f"{SHARD}: candidates was made with other settings or from other rows",
    ]
