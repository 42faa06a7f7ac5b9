"""`toolformer scout` with the real stages: on the miniature's world, and what it says of wrong options."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.miniature.demo_corpus import DemoOptions
from toolformer_ray.miniature.demo_corpus import main as write_demo
from toolformer_ray.tools.backends.passage_index import build_index

REPOSITORY = Path(__file__).parents[2]

RANDOM_TOOL = """
from toolformer_ray.tools.decoys.draw import distinct, draw, numbered
from toolformer_ray.tools.qa import QuestionAnswering
from toolformer_ray.tools.tool import Tool

NAMES = [f"{first} {last}" for first in ("Belmo", "Tarun", "Osk", "Livar") for last in ("Dane", "Runo", "Teliv")]


class Guess(Tool):
    name = "Guess"
    instruction = "Add calls that guess a name."
    demonstrations = tuple(text.replace("QA(", "Guess(") for text in QuestionAnswering.demonstrations)

    def wants(self, document):
        return True

    def run(self, call_input, context):
        return NAMES[draw(len(NAMES), call_input)]

    def decoys(self, result, key, num_decoys):
        return distinct(result, (NAMES[draw(len(NAMES), each)] for each in numbered(key)), num_decoys)
"""

SCRIPT = """
import sys
from toolformer_ray import tools
tools.__path__.append(sys.argv[1])
from toolformer_ray.jobs.cli.main import main
sys.exit(main(sys.argv[2:]))
"""

NARROW = "--search.max-places 1 --search.num-samples 1 --qa.max-places 2 --guess.max-places 2"
"""What keeps the test short; the defaults ask at more places."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_demo(DemoOptions(out=folder, texts_per_tool=10, seed=3))
    build_index(str(folder / "passages.jsonl"), str(folder / "index"))
    return folder


def test_a_tool_that_answers_at_random_comes_last_and_within_noise_of_zero(world: Path, tmp_path: Path) -> None:
    (tmp_path / "guess.py").write_text(RANDOM_TOOL)
    asked = ["scout", "--corpus", str(world / "corpus.jsonl"), "--model", str(REPOSITORY / "miniature/model"), "--json"]
    asked += ["--tools", "guess,calculator,calendar,qa,search,translation", "--sample", "16"]
    asked += ["--qa.table", str(world / "questions.jsonl"), "--search.index", str(world / "index")]
    asked += ["--translation.glossary", str(world / "glossary.jsonl"), "--shown", "whole", "--call-distance", "32"]
    # With so low a threshold chance keeps calls of it too.
    asked += [*NARROW.split(), "--guess.min-contrast", "0.02"]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), *asked], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["num_texts"], found["num_sampled"]) == (55, 16)
    ranked = [score["tool"] for score in found["tools"]]
    assert sorted(ranked) == ["Calculator", "Calendar", "Guess", "MT", "QA", "WikiSearch"]
    assert ranked[-1] == "Guess"
    guess, first = found["tools"][-1], found["tools"][0]
    assert guess["kept"]["expected"] > 0 and guess["saved"]["expected"] > 0
    assert guess["net"]["low"] <= 0 <= guess["net"]["high"]
    assert first["net"]["expected"] > 0 and any(score["net"]["low"] > 0 for score in found["tools"])
    assert "Guess, tool 1 of 6" in ended.stderr and "16 of 16 texts are through" in ended.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model with random weights and a corpus of eight texts."""
    folder = tmp_path_factory.mktemp("small")
    texts = [f"Mill {n} ground {400 + n} sacks, [Calculator(1+1) -> 2] more." for n in range(8)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return ["--corpus", str(folder / "texts.jsonl"), "--model", save_calling_model(folder / "model")]


def test_the_table_says_what_the_figures_are_and_which_tools_are_no_better_than_chance(
    small: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["scout", *small, "--tools", "calendar,calculator", "--sample", "4", "--max-call-tokens", "8"]) == 0
    shown, told_meanwhile = capsys.readouterr()
    lines = shown.splitlines()
    assert lines[0].startswith("8 texts, counted: all of the corpus was read; sample: 4 texts, --seed 0; all figures")
    assert lines[2].split()[:5] == ["tool", "nats,", "net", "of", "chance"]
    assert sorted(line.split()[0] for line in lines[4:6]) == ["Calculator", "Calendar"]
    assert lines[-1].startswith("no better than answers at random, as far as the sample tells: ")
    assert "Calculator, tool 2 of 2" in told_meanwhile
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (["--filter", "paper"], "--filter is paper; what a tool spares is compared with decoys; give decoys or both"),
        (["--as-in-paper"], "--filter is paper; what a tool spares is compared with decoys; give decoys or both"),
        (["--sample", "0"], "--sample is 0; it must be at least 1 text"),
        (["--tools", "abacus"], "--tools is abacus; "),
        (["--tools", "search"], "--search.index"),
    ],
)
def test_a_wrong_value_is_one_line(
    wrong: list[str], line: str, small: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scout", *small, *wrong]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and line in errors and len(errors.splitlines()) == 1
