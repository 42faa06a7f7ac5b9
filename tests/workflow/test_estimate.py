"""`toolformer estimate` with the real stages, on a model with random weights that writes calls; without Ray."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.rows import make_row
from toolformer_ray.annotate.ingest import IngestOptions
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.workflow.estimate.annotate_sample import annotate_sample, open_all
from toolformer_ray.workflow.estimate.estimate import Estimate, EstimateOptions, make_estimate
from toolformer_ray.workflow.estimate.examples import choose_examples
from toolformer_ray.workflow.options import ModelOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.reuse import StageOutput
from toolformer_ray.workflow.shard.stage import Needs, Stage
from toolformer_ray.workflow.tool_choice import TaughtTools

NUM_TEXTS = 40
TOOL: dict[str, Any] = {"max_places": 4, "num_samples": 20, "min_loss_reduction": -1.0}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    texts = [
        f"Mill {n} ground {400 + n} sacks{' of rye' * (n % 5)}, [Calculator(1+1) -> 2] more." for n in range(NUM_TEXTS)
    ]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*texts, texts[0], " "]))
    return path


def options_for(corpus: Path, model: str, sample: int) -> EstimateOptions:
    return EstimateOptions(
        tools=TaughtTools(keys=("calculator",), settings={"calculator": TOOL}),
        sample=sample,
        ingest=IngestOptions(corpus=(str(corpus),)),
        model=ModelOptions(model=model),
        propose=ProposeOptions(max_call_tokens=10),
        as_in_paper=True,
    )


@pytest.fixture(scope="module")
def truth(corpus: Path, model: str) -> Estimate:
    """A sample of all texts is the full run."""
    return make_estimate(options_for(corpus, model, sample=500))


def test_the_interval_of_a_sample_holds_what_all_texts_give(truth: Estimate, corpus: Path, model: str) -> None:
    (whole,) = truth.tools
    assert whole.kept.low == whole.kept.expected == whole.kept.high > 0
    found = make_estimate(options_for(corpus, model, sample=20))
    (tool,) = found.tools
    assert (found.num_texts, len(found.sample.texts)) == (NUM_TEXTS, 20)
    assert dict(found.sample.dropped) == {"duplicate": 1, "empty_text": 1}
    for part, all_of_it in ((tool.kept, whole.kept), (tool.calls, whole.calls)):
        assert part.low <= all_of_it.expected <= part.high
        assert part.low < part.expected < part.high < 4 * all_of_it.expected
    assert sum(found.tokens.values()) == pytest.approx(sum(truth.tokens.values()), rel=0.3)
    assert 0 < tool.asked_now < whole.asked_now


def test_it_prints_yield_tokens_hours_and_what_it_asked_itself(
    corpus: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = [f"--calculator.{name.replace('_', '-')}={value}" for name, value in TOOL.items()]
    arguments = ["--corpus", str(corpus), "--model", model, "--tools", "calculator", "--max-call-tokens", "10", *named]
    assert (
        main(
            [
                "estimate",
                *arguments,
                "--sample",
                "8",
                "--tokens-per-second",
                "100",
                "--shard-size",
                "4",
            ]
        )
        == 0
    )
    shown, told_meanwhile = capsys.readouterr()
    assert "4 of 8 texts are through, " in told_meanwhile and "8 of 8 texts are through, " in told_meanwhile
    assert any(line.startswith("kept, ") and "[Calculator(" in line for line in shown.splitlines())
    lines = shown.splitlines()
    assert lines[0] == f"{NUM_TEXTS} texts, counted: all of the corpus was read"
    assert lines[1] == "no text comes of: duplicate 1, empty_text 1"
    assert lines[2] == "sample: 8 texts in 2 strata by source and length, --seed 0"
    (told,) = [line.split() for line in lines if line.startswith("all ")]
    assert float(told[3]) == pytest.approx(int(told[2].replace(",", "")) / 100 / 3600, abs=1e-3)
    assert "at 100 tokens a second on one device (given)" in shown
    assert "tools were asked for this: Calculator " in lines[-1]
    assert list(tmp_path.iterdir()) == []


@dataclass(frozen=True, kw_only=True)
class Length(Record):
    """How long a text is."""

    table = "lengths"

    text_id: str
    num_chars: int


def test_a_stage_with_the_model_may_read_the_table_of_a_plain_process() -> None:
    @dataclass
    class CountingRecipe:
        num_tokens_read: int = 0

        def open(self, needs: Needs) -> Any:
            return SimpleNamespace(model=self) if needs == "model" else None

    def measure(_: None, tools: Sequence[str], texts: list[Document]) -> StageOutput:
        assert tools == []  # its rows belong to no tool
        return [Length(text_id=text.text_id, num_chars=len(text.text)) for text in texts], []

    def read(opened: Any, tools: Sequence[str], lengths: list[Length]) -> StageOutput:
        opened.model.num_tokens_read += sum(row.num_chars for row in lengths)
        return [make_row(Scored, text_id=row.text_id, tool=tool) for row in lengths for tool in tools], []

    pipeline = (
        PIPELINE[0],
        Stage(name="measure", run=measure, reads=(Document,), writes=Length, needs="cpu"),
        Stage(
            name="read", run=read, reads=(Length,), writes=Scored, needs="model", tool_settings=lambda _, key: (key,)
        ),
    )
    texts = [make_row(Document, text_id="a", text="four"), make_row(Document, text_id="b", text="fifty")]
    found = annotate_sample(open_all(CountingRecipe()), ["Add", "Date"], texts, pipeline, at_once=1)
    assert [(row.text_id, row.tool) for row in found.rows["scored"]] == [
        ("a", "Add"),
        ("a", "Date"),
        ("b", "Add"),
        ("b", "Date"),
    ]
    assert found.tokens == {"read": 4 + 5}


def test_the_examples_are_the_best_kept_calls_of_different_texts_or_else_the_closest() -> None:
    texts = [make_row(Document, text_id=name, text=f"{name}: 1 and 2 are 3") for name in "ab"]

    def call(text_id: str, call_input: str, contrast: float | None, *, is_kept: bool) -> Scored:
        columns = {"call_input": call_input, "contrast": contrast, "loss_reduction": None, "is_kept": is_kept}
        return make_row(Scored, text_id=text_id, char_offset=len("a: 1 and 2 are"), result="3", **columns)

    poor = [call("a", "1+2", 0.25, is_kept=False), call("b", "2+1", 0.375, is_kept=False)]
    assert choose_examples(texts, [*poor, call("a", "3", None, is_kept=False)]) == [
        "not kept, 0.38 nats: … b: 1 and 2 are [Add(2+1) -> 3] 3 …",
        "not kept, 0.25 nats: … a: 1 and 2 are [Add(1+2) -> 3] 3 …",
    ]
    good = [call("a", "1+2", 1.5, is_kept=True), call("a", "2+1", 2.5, is_kept=True)]
    assert choose_examples(texts, [*poor, *good]) == ["kept, 2.50 nats: … a: 1 and 2 are [Add(2+1) -> 3] 3 …"]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (["--sample", "0"], "--sample is 0; it must be at least 1 text"),
        (["--tokens-per-second", "0"], "--tokens-per-second is 0.0; it must be more than 0"),
        (["--max-read", "0"], "--max-read is 0; it must be at least 1 megabyte"),
        (["--tools", "abacus"], "--tools is abacus; there is no such tool"),
    ],
)
def test_a_wrong_value_is_named(
    wrong: list[str], line: str, corpus: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", "--corpus", str(corpus), "--model", model, *wrong]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.startswith(f"toolformer: {line}") and len(errors.splitlines()) == 1
