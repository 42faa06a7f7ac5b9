"""The model that the driver has seen is the one that workers load, wherever the Hub has moved on to."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.workflow.book.settings import resolve_settings
from toolformer_ray.workflow.model_files import look_at_model, model_folder
from toolformer_ray.workflow.options import AnnotateOptions, ModelOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.tool_choice import TaughtTools

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub that holds one model in two versions; its main branch is the old one."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = tmp_path / "models--org--caller"
    save_calling_model(model / "snapshots" / OLD)
    shutil.copytree(model / "snapshots" / OLD, model / "snapshots" / NEW)
    (model / "refs").mkdir()
    (model / "refs/main").write_text(OLD)
    return model


def test_workers_load_the_commit_that_was_fingerprinted(hub: Path) -> None:
    seen = look_at_model("org/caller")
    (hub / "refs/main").write_text(NEW)
    assert seen.revision == OLD
    assert model_folder("org/caller", seen.revision) == str(hub / "snapshots" / OLD)
    assert look_at_model("org/caller").fingerprint != seen.fingerprint


def fail_silently(*_: object, **__: object) -> None:
    raise ConnectionError


def test_a_hub_that_fails_without_a_word_is_a_line_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", fail_silently)
    with pytest.raises(ValueError, match=r"^model is no/model; it is no folder here, .* \(no message\)"):
        look_at_model("no/model")
    monkeypatch.setattr("huggingface_hub.snapshot_download", fail_silently)
    with pytest.raises(ValueError, match=r"its commit 1 cannot be loaded \(no message\)"):
        model_folder("no/model", "1")


def test_a_folder_is_loaded_as_it_is(tmp_path: Path) -> None:
    folder = save_calling_model(tmp_path)
    assert look_at_model(folder).revision is None
    assert model_folder(folder, None) == folder


def test_the_files_of_a_model_behind_a_tool_belong_to_the_run_s_settings(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"layers": 1}))
    options = AnnotateOptions(
        run="r",
        tools=TaughtTools(keys=("translation",), settings={"translation": {"model": str(tmp_path)}}),
        ingest=IngestOptions(corpus=("c",)),
        model=ModelOptions(model="m"),
    )
    before = resolve_settings(PIPELINE, options, options.tools.make(), "f", 100)
    assert resolve_settings(PIPELINE, options, options.tools.make(), "f", 100) == before
    (tmp_path / "config.json").write_text(json.dumps({"layers": 2}))
    after = resolve_settings(PIPELINE, options, options.tools.make(), "f", 100)
    assert after.tool_data != before.tool_data
    assert after.stage_fingerprints["execute"] != before.stage_fingerprints["execute"]
