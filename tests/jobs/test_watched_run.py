"""What a run on a real Ray tells of itself while it goes on: its folder, its metrics, its log."""

import json
from pathlib import Path

import pytest

from jobs.run_status import read_status
from records.run_folder import RunFolder
from tests.jobs.small_jobs import SmallRecipe, run_small_job

pytestmark = pytest.mark.usefixtures("shared_ray")


def test_attempts_that_were_repeated_are_told_from_shards_that_were_given_up(tmp_path: Path) -> None:
    outcome = run_small_job(tmp_path, SmallRecipe(fault=RuntimeError("broken\nand more")), max_attempts=3)
    (tmp_path / "run.json").write_text("{}")
    status = read_status(RunFolder(str(tmp_path)))
    rows = {row.stage: row for row in status.stages}
    assert (rows["execute"].tried_again, rows["execute"].failed, rows["execute"].to_do) == (2, 1, 0)
    assert (rows["score"].tried_again, rows["score"].failed, rows["score"].to_do) == (0, 0, 0)
    assert [(row.shard, row.attempts, row.error) for row in status.failures] == [
        ("part-00001", 3, "RuntimeError: broken")
    ]
    # What the driver told is what the footers tell.
    told = json.loads((tmp_path / "progress.json").read_text())
    assert told["counts"] == {stage: dict(counts) for stage, counts in status.counts.items()}
    assert told["counts"] == {stage: dict(counts) for stage, counts in outcome.ledger.counts.items()}
    assert told["done"] == {row.stage: row.shards_done for row in status.stages}

    again = run_small_job(tmp_path, SmallRecipe())
    told = json.loads((tmp_path / "progress.json").read_text())
    # Nine of the twelve texts were through before.
    assert (told["finished_texts"], again.ledger.num_new_texts) == (12, 3)
    assert told["texts_per_second"] == again.last.texts_per_second
    status = read_status(RunFolder(str(tmp_path)))
    assert (status.state, status.num_failed) == ("finished", 0)
    assert [row.tried_again for row in status.stages] == [0, 0, 0, 0, 0]
