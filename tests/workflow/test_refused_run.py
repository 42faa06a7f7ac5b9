"""A run that is refused leaves nothing behind if it had not begun."""

from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.workflow.refused_run import leaving_nothing_if_refused


def refuse(run: RunFolder, *, after_a_shard: bool = False) -> None:
    with pytest.raises(OptionError, match="address is h:1"), leaving_nothing_if_refused(run):
        run.create()
        for name in ("run.json", "ingest.json", "progress.json"):
            run.write_json(name, {})
        if after_a_shard:
            run.write_shard("documents", "part-00000", Document, [make_row(Document)], fingerprint="", counts={})
        raise OptionError("address", "h:1", "it cannot be reached")


def test_a_folder_that_a_refused_run_has_made_is_gone(tmp_path: Path) -> None:
    refuse(RunFolder(str(tmp_path / "run")))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stays_if_it_was_there_or_if_somebody_has_written_to_it(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refuse(RunFolder(str(tmp_path / "empty")))
    assert (tmp_path / "empty/run.json").exists()
    refuse(RunFolder(str(tmp_path / "begun")), after_a_shard=True)
    assert (tmp_path / "begun/run.json").exists()
