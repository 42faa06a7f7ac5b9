"""What was lost of a corpus is told at the end of a run."""

from collections import Counter
from pathlib import Path

from tests.support.rows import make_row
from toolformer_ray.records.counts import Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Dropped
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.unread import describe_unread


def told(folder: Path, drops: list[Dropped]) -> list[str]:
    run, counts = RunFolder(str(folder)), Counter(Count("dropped", drop.reason) for drop in drops)
    run.write_shard("dropped/ingest", "part-00000", Dropped, drops, fingerprint="", counts={})
    return describe_unread(run, {stage.name: counts if stage.name == "ingest" else {} for stage in PIPELINE})


def drop(reason: str, text_id: str = "", detail: str = "") -> Dropped:
    return make_row(Dropped, stage="ingest", reason=reason, text_id=text_id, detail=detail)


def test_rows_are_told_by_reason_and_files_by_name(tmp_path: Path) -> None:
    lost = [drop("invalid_row"), drop("invalid_row"), drop("missing_text")]
    file = drop("unusable_source", "c/b.json", "none of 2 rows is usable: 2 with no JSON object")
    assert told(tmp_path, [*lost, file]) == [
        "3 rows of the corpus were dropped (no JSON object 2, no text 1), see dropped",
        "c/b.json: none of 2 rows is usable: 2 with no JSON object",
    ]


def test_no_more_than_a_few_files_are_named(tmp_path: Path) -> None:
    lines = told(tmp_path, [drop("unusable_source", f"{number}.txt", "none") for number in range(12)])
    assert lines == [*(f"{number}.txt: none" for number in range(5)), "and 7 more files of which no row is usable"]


def test_duplicates_and_white_space_are_no_loss(tmp_path: Path) -> None:
    assert told(tmp_path, [drop("duplicate"), drop("empty_text")]) == []
