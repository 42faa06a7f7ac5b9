"""`toolformer evaluate` from the command line, on a small model that writes sums as calls."""

import json
from pathlib import Path

import duckdb
import pytest

from jobs.command_line import main
from jobs.evaluate_model import EvaluateOptions, _keys
from tests.decode.chain_model import save_chain_model

ROWS = [
    {"prompt": "it is", "answers": ["so"], "about": "words"},
    {"prompt": "so it is", "answers": "so it", "about": "words"},
    {"prompt": "so", "answers": [12], "about": "numbers"},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_chain_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()[-1]


def test_questions_are_asked_with_tools_and_without_and_every_answer_is_kept(
    model: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.jsonl").write_text('{"text": "so it is"}\n')
    out = tmp_path / "results.parquet"
    given = ["--model", model, "--tasks", "continuation,wikitext2", "--path.continuation", rows, "--call-top-k", "1"]
    given += ["--path.wikitext2", str(tmp_path / "plain.jsonl"), "--out", str(out)]
    assert main(["evaluate", *given]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert " ".join(printed[0].split()) == "task questions right with tools calls disabled a tool was called"
    # With tools it says ` so` behind its call, without ` 7 so`; both are among the first words.
    assert printed[2].split() == ["continuation", "3", "66.7%", "66.7%", "100.0%"]
    assert printed[3].startswith("wikitext2: perplexity ")
    results = duckdb.read_parquet(str(out))
    asked = results.aggregate("with_tools, sum(num_calls), count(*)").order("with_tools").fetchall()
    assert asked == [(False, 0, 3), (True, 3, 3)]
    figures = json.loads(out.with_suffix(".json").read_text())
    assert [(line["with_tools"], line["share_with_call"]) for line in figures["tasks"]] == [(True, 1.0), (False, 0.0)]
    assert figures["wikitext2"]["num_tokens"] == 4  # s, o, it, is


def test_of_all_benchmarks_those_without_data_of_their_own_are_left_out(model: str, tmp_path: Path, capsys) -> None:
    line = refuse(capsys, "--model", model, "--tasks", "all", "--data", str(tmp_path))
    assert "asdiv" in line
    assert "continuation" not in _keys(EvaluateOptions(tasks="all"))
    assert "continuation" in _keys(EvaluateOptions(tasks="all", path={"continuation": "rows.jsonl"}))


def test_what_cannot_be_asked_is_refused_in_one_line(model: str, rows: str, tmp_path: Path, capsys) -> None:
    to = ("--model", model, "--tasks")
    assert "there is no such benchmark: choose among asdiv" in refuse(capsys, *to, "sums")
    assert "name at least one of" in refuse(capsys, *to, ",")
    assert "is not there; give a file" in refuse(capsys, *to, "svamp", "--data", str(tmp_path))
    assert "a row has no usable 'Body'" in refuse(capsys, *to, "svamp", "--path.svamp", rows)
    assert "give --path.wikitext2 FILE" in refuse(capsys, *to, "continuation,wikitext2", "--path.continuation", rows)
    assert "must end in .parquet" in refuse(capsys, *to, "svamp", "--out", "results.csv")
