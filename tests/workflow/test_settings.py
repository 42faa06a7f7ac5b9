"""What is written down about a run holds no key, and tells with which tools it was made."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.rows import make_row
from tests.support.scripted_model import BOS, ScriptedModel
from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.records.fingerprint import added_later
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Executed
from toolformer_ray.workflow.book.fingerprints import plain_options
from toolformer_ray.workflow.book.settings import (
    OtherSettingsError,
    RunSettings,
    check_settings,
    read_tool_names,
    resolve_settings,
)
from toolformer_ray.workflow.options import AnnotateOptions, ModelOptions
from toolformer_ray.workflow.pipeline import PIPELINE, run_score
from toolformer_ray.workflow.recipe import AnnotateRecipe, OpenedModel
from toolformer_ray.workflow.tool_choice import TaughtTools


def test_keys_in_locations_are_not_written_down(tmp_path: Path) -> None:
    options = AnnotateOptions(
        run=str(tmp_path),
        tools=TaughtTools(keys=("calculator",)),
        ingest=IngestOptions(corpus=("s3://KEY:SECRET@a?client_secret=SECRET", "b")),
        model=ModelOptions(model="m"),
    )
    run = RunFolder(str(tmp_path))
    resolve_settings(PIPELINE, options, options.tools.make(), "f", 100).write(run)
    assert "SECRET" not in (tmp_path / "run.json").read_text()
    assert run.read_json("run.json")["settings"]["corpus"] == ["s3://a", "b"]


@pytest.mark.parametrize("told", [[], {}, {"settings": {}}, {"settings": {"tools": None}}])
def test_a_folder_that_does_not_tell_its_tools_is_refused_in_one_line(told: object, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"run.json does not say with which tools the run was made"):
        read_tool_names(RunFolder(str(tmp_path)))


def resolve_with(options: FilterOptions) -> RunSettings:
    run = AnnotateOptions(
        run="r",
        tools=TaughtTools(keys=("calculator",)),
        ingest=IngestOptions(corpus=("c",)),
        model=ModelOptions(model="m"),
        filter=options,
    )
    return resolve_settings(PIPELINE, run, run.tools.make(), "f", 100)


def test_a_filter_has_its_own_settings_and_the_papers_none_that_older_runs_lack() -> None:
    paper, decoys = resolve_with(FilterOptions(filter="paper")), resolve_with(FilterOptions())
    assert paper == resolve_with(FilterOptions(filter="paper", num_decoys=5))
    assert "calculator.min-loss-reduction" in paper.settings and "calculator.min-contrast" not in paper.settings
    assert not {"filter", "num-decoys"} & paper.settings.keys()
    assert decoys.settings.items() >= {"filter": "decoys", "num-decoys": 3}.items()
    assert "calculator.min-contrast" in decoys.settings and "calculator.min-loss-reduction" not in decoys.settings


def test_more_decoys_cost_losses_and_no_answer() -> None:
    three, five = resolve_with(FilterOptions()), resolve_with(FilterOptions(num_decoys=5))
    changed = {name for name, value in three.stage_fingerprints.items() if five.stage_fingerprints[name] != value}
    assert changed == {"execute"}, "the rows of score follow from those of execute"
    assert three.tool_fingerprints == five.tool_fingerprints


def test_losses_of_an_expensive_tool_are_not_taken_for_those_of_a_cheap_one() -> None:
    options = AnnotateOptions(
        run="r",
        tools=TaughtTools(keys=("calculator", "calendar")),
        ingest=IngestOptions(corpus=("c",)),
        model=ModelOptions(model="m"),
    )
    tools = options.tools.make()
    cheap = resolve_settings(PIPELINE, options, tools, "f", 100).tool_fingerprints["score"]
    tools["calculator"].is_expensive = True
    expensive = resolve_settings(PIPELINE, options, tools, "f", 100).tool_fingerprints["score"]
    assert {name for name in cheap if cheap[name] != expensive[name]} == {"Calculator"}


def test_a_second_round_decides_proposals_and_losses_and_is_no_setting_of_a_first() -> None:
    def resolve(*, in_place: bool) -> RunSettings:
        options = AnnotateOptions(
            run="r",
            tools=TaughtTools(keys=("calculator", "calendar")),
            ingest=IngestOptions(corpus=("c",)),
            model=ModelOptions(model="m"),
            propose=ProposeOptions(second_round=in_place),
            filter=FilterOptions(filter="paper"),
        )
        tools = options.tools.make()
        model, document, call = ScriptedModel(lambda _: {}), make_row(Document), make_row(Executed, tool="Calculator")
        recipe = AnnotateRecipe(options=options, max_text_tokens=100)
        opened = OpenedModel(recipe=recipe, tools={tool.name: tool for tool in tools.values()}, model=model)
        run_score(opened, (), [call], [document])
        assert model.sequences[0].startswith(f"{BOS}2 [Calculator(" if in_place else f"{BOS} [Calculator(")
        return resolve_settings(PIPELINE, options, tools, "f", 100)

    before, after = resolve(in_place=False), resolve(in_place=True)
    changed = {
        stage: {name for name, value in by_tool.items() if after.tool_fingerprints[stage][name] != value}
        for stage, by_tool in before.tool_fingerprints.items()
    }
    both = {"Calculator", "Calendar"}
    assert changed == {"propose": both, "execute": set(), "score": both}
    # A run made before there was the option goes on.
    assert "second-round" not in before.settings
    assert after.settings["second-round"] is True


def test_an_option_that_was_added_later_is_no_setting_at_its_default() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Options:
        old: int = 1
        new: int = field(default=2, metadata=added_later(before=2))

    assert plain_options(Options()) == {"old": 1}
    assert plain_options(Options(new=3)) == {"old": 1, "new": 3}


@pytest.mark.parametrize(("option", "file"), [("glossary", "words.tsv"), ("model", "model")])
def test_data_of_a_tool_that_only_lie_elsewhere_are_no_other_setting(option: str, file: str, tmp_path: Path) -> None:
    def resolve(path: Path) -> RunSettings:
        options = AnnotateOptions(
            run="r",
            tools=TaughtTools(keys=("translation",), settings={"translation": {option: str(path)}}),
            ingest=IngestOptions(corpus=("c",)),
            model=ModelOptions(model="m"),
        )
        return resolve_settings(PIPELINE, options, options.tools.make(), "f", 100)

    run = RunFolder(str(tmp_path / "run"))
    (tmp_path / "run/documents").mkdir(parents=True)
    (tmp_path / "run/documents/part-00000.parquet").touch()
    old, new = tmp_path / "old" / file, tmp_path / "new" / file
    for path in (old, new):
        content = path / "config.json" if option == "model" else path
        content.parent.mkdir(parents=True)
        content.write_text("source\ttarget\n")
    before, after = resolve(old), resolve(new)
    assert after.stage_fingerprints == before.stage_fingerprints
    before.write(run)
    assert check_settings(run, after, may_change=False) == []
    content.write_text("source\ttarget\nNacht\tnight\n")
    other = resolve(new)
    assert other.stage_fingerprints["execute"] != before.stage_fingerprints["execute"]
    with pytest.raises(OtherSettingsError, match="the data behind the tool translation has changed"):
        check_settings(run, other, may_change=False)


def test_stages_of_old_run_folders_keep_their_fingerprints_until_a_version_is_raised() -> None:
    asked = {"calculator": {"max_places": 7, "num_samples": 3, "timeout": 3.0}, "calendar": {"min_loss_reduction": 0.2}}
    options = AnnotateOptions(
        run="r",
        tools=TaughtTools(keys=("calculator", "calendar"), settings=asked),
        ingest=IngestOptions(corpus=("c",), shard_size=256),
        model=ModelOptions(model="m"),
        as_in_paper=True,
    )
    settings = resolve_settings(PIPELINE, options, options.tools.make(), "f", 100)
    assert settings.stage_fingerprints == {
        "ingest": "7a72129ca73a3b4fca7135aac11386b0",
        "propose": "1e62acbd6b010624f060a967e24c7784",
        "execute": "124f74902e15934f5d889d7589ee6a43",
        "score": "f3535b67f68a00b95d0594b16d524b1c",
        "interleave": "469a37108d1a984689ccbdd74286abc2",
    }
