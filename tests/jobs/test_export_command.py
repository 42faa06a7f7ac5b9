"""`toolformer export`: what it says of what it wrote."""

from pathlib import Path

import pytest

from tests.support.many_texts import write_texts
from tests.support.rows import make_row
from tests.support.small_run import write
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document

SUM = ("Calculator", "1 + 1", "2", 1.5)


def test_a_run_that_is_not_through_is_told_from_a_whole_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_texts(str(tmp_path / "run"), {"a": [SUM]})
    command = ["export", "--run", run, "--out", str(tmp_path / "c.jsonl"), "--num-held-out", "0"]
    assert main(command) == 0
    whole = capsys.readouterr().out
    assert whole.startswith("1 texts in ") and "not through" not in whole
    write(RunFolder(run), "documents", Document, [make_row(Document, text_id="later-0")], shard="part-00099")
    assert main(command) == 0
    assert capsys.readouterr().out.endswith("is not through: these are texts of 1 of the 2 shards it has so far\n")
