"""`toolformer promote`: functions that pay on other texts become tools; those that guess or say always the same do not.

The model is one whose probabilities are written down: of each function that is a tool it calls it with the miles of the
text. Behind a right answer it is sure of the price, behind a wrong one it would not say it.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.rows import make_row
from tests.support.scripted_model import ScriptedModel
from tests.support.small_run import write
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Document, Scored
from toolformer_ray.tools.brought.function_file import read_functions
from toolformer_ray.workflow import recipe

MILES = range(12, 28)
TEXTS = {miles: f"A ride of {miles} miles costs {miles * 4 + 2} dollars in all, they say." for miles in MILES}
PAYS, SAME = "price = lambda n: n * 4 + 2", "fare = lambda a: a*4+2"
GUESSES = "guess = lambda n: n * 7919 % 83 + 11"
CONSTANT = "fixed = lambda n: n * 0 + 58"
IGNORES = "never = lambda n: 58"
NEEDS = "rated = lambda n: n * rate"
WRITTEN = {12: PAYS, 13: PAYS, 14: SAME, 15: GUESSES, 16: CONSTANT, 17: IGNORES, 18: NEEDS}
"""By the miles of a text, the function that its call wrote."""
_TOKEN = re.compile(r" ?\w+| ?[^\w\s]|\s")


def next_token(context: str) -> Mapping[str, float]:
    """What comes next is known after a call's opening, in it, behind its result and in a definition."""
    _, is_defining, begun = context.rpartition("[Python(")
    for source in (PAYS, SAME, GUESSES, CONSTANT):
        if is_defining and "[" not in begun and source.startswith(begun) and source != begun:
            return {_TOKEN.match(source, len(begun))[0]: 0.5}  # type: ignore[index]
    ride = re.findall(r"A ride of (\d+) miles costs", context)
    if re.search(r"\[\w+\($", context):
        return {f"n={ride[-1] if ride else 0})": 1.0}
    if context.endswith(")"):
        return {"]": 1.0}
    if called := re.search(r"miles costs \[\w+\(n=\d+\) -> (\d+)\]$", context):
        price = int(ride[-1]) * 4 + 2
        return {f" {price}": 0.9 if int(called[1]) == price else 0.01}
    return {}


class Counted(ScriptedModel):
    num_tokens_read = 0


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run whose calls wrote the functions above, one a text, and the model that made it."""
    model = save_calling_model(tmp_path / "model")
    monkeypatch.setattr(recipe, "_load_model", lambda *_: Counted(next_token))
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "texts.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS.values()))
    folder = RunFolder(str(tmp_path / "run"))
    made_with = {"tools": ["python"], "model": model, "corpus": [str(corpus)], "filter": "decoys", "num-decoys": 3}
    proposed = {"places": "wanted", "rank-by": "opening", "shown": "output", "call-distance": 0}
    folder.write_json("run.json", {"settings": made_with | proposed})
    documents = [make_row(Document, text_id=f"t{miles}-0", text=text) for miles, text in TEXTS.items()]
    write(folder, "documents", Document, documents)
    rows = [_writing(miles, source) for miles, source in WRITTEN.items()]
    write(folder, "scored", Scored, [*rows, _writing(19, "unanswered = lambda n: n", status="bad_input", result=None)])
    write(folder, "augmented", Augmented, [])
    return str(tmp_path / "run")


def _writing(miles: int, source: str, **columns: object) -> Scored:
    row: dict[str, object] = {
        "text_id": f"t{miles}-0",
        "tool": "Python",
        "call_input": f"{source}; {source.split()[0]}({miles})",
        "char_offset": TEXTS[miles].index(" costs") + len(" costs"),
        "result": str(miles * 4 + 2),
        "contrast": 1.0,
    }
    return make_row(Scored, **row | columns)


def promoted(run: str, capsys: pytest.CaptureFixture[str], *more: str, sample: int = 16) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert main(["promote", run, "--sample", str(sample), "--json", *more]) == 0
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)["functions"]}


def test_of_the_functions_of_a_run_those_are_promoted_that_spare_other_texts_more_than_they_cost(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = promoted(run, capsys)
    assert {name: one["verdict"] for name, one in found.items()} == {
        "price": "promoted",
        "guess": "spares less than it costs",
        "fixed": "the same answer to all calls",
        "never": "it uses none of its arguments",
        "rated": "it needs rate",
    }
    price, guess = found["price"], found["guess"]
    # Two texts wrote it by this name and one by another; one shows its call, and the fifteen others were all helped.
    assert (price["num_texts"], price["tried"]["num_texts"], price["tried"]["kept"]) == (3, 15, 15)
    # Ten tokens of probability 0.5 and what they hold of names: 0.69 nats each.
    assert price["cost"] == pytest.approx(len(_TOKEN.findall(PAYS)) * 0.6931, abs=0.01)
    assert price["tried"]["net"] > price["cost"] > guess["tried"]["net"]
    assert guess["tried"]["calls"] > 15 and guess["tried"]["num_answers"] > 10


def test_what_is_promoted_is_a_tool_of_its_own_that_says_how_it_is_called(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted(run, capsys, "--out", "mine.toml")
    (entry,) = read_functions("mine.toml")
    assert (entry.name, entry.source) == ("price", PAYS)
    assert entry.description == "Gives n * 4 + 2 for n."
    (shown,) = entry.demonstrations
    assert shown == "A ride of 12 miles costs [Price(n=12)] 50 dollars in all, they say."
    assert entry.examples[0] == ("n=12", "50")
    assert "written in 3" in entry.told
    assert main(["check-tool", "python:mine.toml"]) == 0
    assert main(["scout", "--from-run", run, "--tools", "python:mine.toml", "--sample", "4", "--json"]) == 0
    (league,) = json.loads(capsys.readouterr().out.splitlines()[-1])["tools"]
    assert league["tool"] == "Price" and league["kept"]["expected"] > 0


def test_a_function_that_pays_on_too_few_texts_is_not_promoted_and_nothing_is_written(
    run: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    price = promoted(run, capsys, sample=3)["price"]
    assert price["verdict"] == "spares less than it costs"
    assert 0 < price["tried"]["net"] < price["cost"]
    assert not (tmp_path / "functions.toml").exists()
    assert main(["promote", run, "--sample", "3"]) == 0
    assert "none of them is promoted, so nothing is written" in capsys.readouterr().out


def test_those_that_fewer_texts_wrote_are_not_tried_if_there_are_more_than_may_be(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = promoted(run, capsys, "--most", "1")
    assert {name for name, one in found.items() if one["verdict"] == "not tried"} == {"fixed", "guess"}
    assert found["price"]["verdict"] == "promoted"


def test_the_table_says_of_each_function_what_was_decided(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", run, "--sample", "16"]) == 0
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.startswith("price ")]
    assert line.endswith(" promoted")
    assert shown.rstrip().endswith("give annotate or generate --tools python:functions.toml")
    assert main(["promote", run]) == 2
    assert "functions.toml; it is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (["--most", "0"], "--most is 0; it must be at least 1 function"),
        (["--filter", "paper"], "--filter is paper; what a function spares is compared with decoys"),
        (["--tools", "calculator"], "--tools is calculator; the run has no calls of python"),
    ],
)
def test_a_wrong_value_is_one_line(wrong: list[str], line: str, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", run, *wrong]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and line in errors and len(errors.splitlines()) == 1


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
