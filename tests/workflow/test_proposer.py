"""Another model proposes: what that decides, and that the rest of a run is as it was."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.models import build_model
from tests.support.other_tokenizer import build_other_tokenizer
from tests.support.rows import make_row
from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.prompt import render_demonstrations
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.losses.question import loss_alone, question_without_call
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.workflow.book.settings import RunSettings, check_settings, resolve_settings
from toolformer_ray.workflow.estimate.annotate_sample import AnnotatedSample, annotate_sample, open_all
from toolformer_ray.workflow.model_files import look_at_model
from toolformer_ray.workflow.options import AnnotateOptions, ModelOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.proposer import check_chat, look_at_proposer, with_proposer
from toolformer_ray.workflow.recipe import AnnotateRecipe
from toolformer_ray.workflow.shard.accounts import check_calls, check_proposals
from toolformer_ray.workflow.tool_choice import TaughtTools

TEXTS = [f"{n} apples and {n + 7} pears, so {2 * n + 7} in all, = ${n} or ({n})" for n in range(20, 26)]
LARGER = 1200
EASY = {"calculator": {"min_open_probability": 0.0, "min_contrast": 0.0005, "num_samples": 3, "max_places": 6}}


def options_with(proposer: str | None, model: str = "m", **threshold: float) -> AnnotateOptions:
    return AnnotateOptions(
        run="r",
        tools=TaughtTools(keys=("calculator",), settings={"calculator": EASY["calculator"] | threshold}),
        ingest=IngestOptions(corpus=("c",)),
        model=ModelOptions(model=model),
        propose=ProposeOptions(max_call_tokens=12, temperature=2.0),
        proposer=ProposerOptions(proposer=proposer),
    )


def settings_with(proposer: str | None, files: str = "", **threshold: float) -> RunSettings:
    options = options_with(proposer, **threshold)
    pipeline = with_proposer(PIPELINE, options.proposer)
    return resolve_settings(pipeline, options, options.tools.make(), "f", 100, files)


def changed(before: RunSettings, after: RunSettings) -> set[str]:
    return {name for name, tools in before.tool_fingerprints.items() if after.tool_fingerprints[name] != tools}


def test_the_proposers_files_decide_what_is_proposed_and_no_loss() -> None:
    alone, one, other = settings_with(None), settings_with("p", "1"), settings_with("p", "2")
    assert changed(alone, one) == {"propose"} and changed(one, other) == {"propose"}
    assert "proposer" not in alone.settings and one.settings["proposer"] == "p"


def test_a_threshold_of_the_filter_has_nothing_proposed_again_by_another_model() -> None:
    assert changed(settings_with(None), settings_with(None, min_contrast=0.5)) == {"propose", "score"}
    assert changed(settings_with("p", "1"), settings_with("p", "1", min_contrast=0.5)) == {"score"}


def test_a_run_made_before_there_were_proposers_goes_on_and_a_proposer_may_be_moved(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    run.write_shard("documents", "part-00000", Document, [], fingerprint="0", counts={})
    settings_with(None).write(run)
    told = run.read_json("run.json")
    del told["proposer_fingerprint"]
    (tmp_path / "run.json").write_text(json.dumps(told))
    assert check_settings(run, settings_with(None), may_change=True) == []
    assert check_settings(run, settings_with("p", "1"), may_change=True) == ["`proposer` was not given and is p"]
    settings_with("p", "1").write(run)
    assert check_settings(run, settings_with("elsewhere/p", "1"), may_change=True) == []
    assert check_settings(run, settings_with("p", "2"), may_change=True) == ["the files of `proposer` p have changed"]


def test_a_proposer_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="proposer is .*at all; it is no folder here"):
        look_at_proposer(ProposerOptions(proposer=str(tmp_path / "nowhere" / "at all")))


def test_a_chat_needs_a_template_and_a_text_that_begins_the_answer(tmp_path: Path) -> None:
    plain, chatty = build_other_tokenizer(TEXTS), build_other_tokenizer(TEXTS)
    chatty.chat_template = "{{ messages }}"
    for name, tokenizer in (("plain", plain), ("chatty", chatty)):
        tokenizer.save_pretrained(tmp_path / name)
        build_model("llama").config.save_pretrained(tmp_path / name)
    ready = look_at_model(str(tmp_path / "chatty"))
    asked = replace(options_with(None), proposer=ProposerOptions(proposer_chat=True))
    check_chat(asked, ready, None)
    with pytest.raises(ValueError, match="proposer_chat is given; .*plain has no chat template"):
        check_chat(asked, look_at_model(str(tmp_path / "plain")), None)
    with pytest.raises(ValueError, match="in a chat the text is the beginning of an answer"):
        check_chat(replace(asked, propose=ProposeOptions(shown="whole")), ready, None)
    settings = resolve_settings(PIPELINE, asked, asked.tools.make(), "f", 100)
    assert changed(settings_with(None), settings) == {"propose"}


def annotated(proposer: str | None, model: str) -> AnnotatedSample:
    """Some texts through all stages, without Ray, as `toolformer estimate` has them."""
    options = options_with(proposer, model)
    documents = [make_row(Document, text_id=f"{n}-0", text=text) for n, text in enumerate(TEXTS)]
    recipe = AnnotateRecipe(options=options, max_text_tokens=200)
    pipeline = with_proposer(PIPELINE, options.proposer)
    return annotate_sample(open_all(recipe, pipeline), ["Calculator"], documents, pipeline)


def verdicts(sample: AnnotatedSample) -> dict[tuple[str, int, str], tuple[float, float | None]]:
    return {
        (row.text_id, row.char_offset, row.call_input): (row.loss_without, row.contrast)
        for row in sample.rows[Scored.table]
        if row.is_kept
    }


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """A model that writes calls, a copy of it, and one with other weights and another tokenizer."""
    folder = tmp_path_factory.mktemp("models")
    one, copy = save_calling_model(folder / "one"), save_calling_model(folder / "copy")
    build_model("llama", vocabulary_size=LARGER, seed=1).save_pretrained(folder / "other")
    # Its window is short, so it had better know the demonstrations.
    prompt = render_demonstrations(find_tools()["calculator"], "output")
    build_other_tokenizer([*TEXTS, *[prompt] * 3], LARGER).save_pretrained(folder / "other")
    return one, copy, str(folder / "other")


def test_a_copy_of_the_model_proposes_what_the_model_itself_would_keep(models: tuple[str, str, str]) -> None:
    one, copy, _ = models
    alone, apart = annotated(None, one), annotated(copy, one)
    assert len(verdicts(alone)) > 3
    assert verdicts(apart).keys() == verdicts(alone).keys()
    for name, numbers in verdicts(alone).items():
        assert verdicts(apart)[name] == pytest.approx(numbers, abs=1e-5)
    # What the model alone would have left out is there, without further losses.
    assert len(apart.rows["scored"]) >= len(alone.rows["scored"])


def test_calls_of_a_model_with_other_tokens_have_the_losses_of_the_model_that_scores(
    models: tuple[str, str, str],
) -> None:
    proposer, _, scorer = models
    sample = annotated(proposer, scorer)
    candidates, scored = sample.rows["candidates"], sample.rows["scored"]
    documents = [make_row(Document, text_id=f"{n}-0", text=text) for n, text in enumerate(TEXTS)]
    assert 0 < sum(row.proposed_offset is not None for row in candidates) < len(candidates)
    assert list(check_calls((candidates, documents), scored, [], ["Calculator"])) == []
    assert [line for line in check_proposals((documents,), candidates, [], []) if "more than once" in line] == []
    model = LanguageModel.load(scorer)
    for row in scored:
        places = model.tokenizer.places(TEXTS[int(row.text_id.partition("-")[0])])
        assert places.char_offsets[row.token_index] == row.char_offset and places.is_place[row.token_index]
        alone = loss_alone(model, question_without_call(model.tokenizer, row.text_id, places.ids, row.token_index))
        assert row.loss_without == pytest.approx(alone, abs=1e-5)
