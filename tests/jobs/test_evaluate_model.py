"""`toolformer evaluate` from the command line, on a small model that writes sums as calls."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import toolformer_ray.evals.evaluate
import toolformer_ray.evals.tasks
from tests.support.chain_model import save_chain_model
from tests.support.refusals import Refuse
from toolformer_ray.evals.tasks import find_tasks
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.jobs.decoding.decoder import DecoderOptions
from toolformer_ray.jobs.decoding.evaluate import EvaluateOptions
from toolformer_ray.lm.sources import fingerprint_model
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.workflow.options import ModelOptions

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


def test_questions_are_asked_with_tools_and_without_and_every_answer_is_kept(
    model: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.jsonl").write_text('{"text": "so it is"}\n')
    out = tmp_path / "results.parquet"
    given = ["--model", model, "--tasks", "continuation,wikitext2", "--path.continuation", rows, "--call-top-k", "1"]
    given += ["--path.wikitext2", str(tmp_path / "plain.jsonl"), "--out", str(out)]
    assert main(["evaluate", *given]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert " ".join(printed[0].split()) == (
        "task questions right with tools calls disabled tools add, in 95 % a tool was called"
    )
    # With tools it says ` so` behind its call, without ` 7 so`; both are among the first words.
    # The error of 2/3 of 3 questions is sqrt(2/9 / 3), and no question was right in one way alone: 1.96 sqrt(1) / 5.
    cells = ["continuation", "3", "66.7% ±27.2", "66.7% ±27.2", "+0.0 in -39.2 to +39.2", "100.0%"]
    assert re.split(r"\s{2,}", printed[2]) == cells
    assert printed[4].startswith("wikitext2: perplexity ")
    results = duckdb.read_parquet(str(out))
    asked = results.aggregate("with_tools, sum(num_calls), count(*)").order("with_tools").fetchall()
    assert asked == [(False, 0, 3), (True, 3, 3)]
    figures = json.loads(out.with_suffix(".json").read_text())
    assert [(line["with_tools"], line["share_with_call"]) for line in figures["tasks"]] == [(True, 1.0), (False, 0.0)]
    assert figures["wikitext2"]["num_tokens"] == 4  # s, o, it, is
    assert [round(line["standard_error"], 3) for line in figures["tasks"]] == [0.272, 0.272]


def test_a_result_tells_how_it_was_made(model: str, rows: str, tmp_path: Path) -> None:
    def made_with(name: str, *more: str) -> dict[str, Any]:
        given = ["--model", model, "--tasks", "continuation", "--path.continuation", rows, "--call-top-k", "1"]
        assert main(["evaluate", *given, "--out", str(tmp_path / f"{name}.parquet"), *more]) == 0
        return json.loads((tmp_path / f"{name}.json").read_text())["made_with"]

    one, other = made_with("one"), made_with("other", "--most", "2", "--today", "2024-02-29")
    assert one["model"] == other["model"] == fingerprint_model(Path(model))
    assert set(one["versions"]) > {"python", "torch", "toolformer-ray"}
    assert (one["settings"]["call-top-k"], one["settings"]["most"], one["settings"]["dtype"]) == (1, None, "float32")
    assert other["settings"]["today"] == "2024-02-29"
    assert one["tools"]["calculator"]["version"] == Calculator.version
    data = one["data"]["continuation"]
    assert (data["location"], data["num_questions"], data["first_prompt"]) == (rows, 3, "it is")
    assert data["hash"] != other["data"]["continuation"]["hash"]


TASK = """
from toolformer_ray.evals.rules import is_among_first_words
from toolformer_ray.evals.task import Question, Task


class Capitals(Task):
    describes = "Capitals of countries"
    path = "capitals.jsonl"
    rule = staticmethod(is_among_first_words(5))
    barred_tools = ("QA",)

    def questions(self, row):
        yield Question(prompt=f"so {row['country']} it is", answers=(row["capital"],))
"""


@pytest.fixture
def new_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more file where benchmarks are looked for, and nothing else."""
    folder = tmp_path / "more_tasks"
    folder.mkdir()
    (folder / "capitals.py").write_text(TASK)
    monkeypatch.setattr(toolformer_ray.evals.tasks, "__path__", [*toolformer_ray.evals.tasks.__path__, str(folder)])
    find_tasks.cache_clear()
    yield
    find_tasks.cache_clear()
    sys.modules.pop("toolformer_ray.evals.tasks.capitals", None)


@pytest.mark.usefixtures("new_task")
def test_a_new_benchmark_is_one_file(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    assert ["capitals", "Capitals", "of", "countries", "QA"] in [
        line.split() for line in capsys.readouterr().out.splitlines()
    ]
    (tmp_path / "capitals.jsonl").write_text('{"country": "Peru", "capital": "so"}\n')
    assert main(["evaluate", "--model", model, "--tasks", "capitals", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["capitals", "1"]


def test_a_users_own_benchmark_is_named_by_its_file(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_capitals.py").write_text(TASK)
    (tmp_path / "none.py").write_text("from toolformer_ray.evals.task import Task\n")
    (tmp_path / "capitals.jsonl").write_text('{"country": "Peru", "capital": "so"}\n')
    given = ["evaluate", "--model", model, "--data", str(tmp_path), "--tasks"]
    assert main([*given, f"{tmp_path}/my_capitals.py"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[:2] == ["my_capitals", "1"]
    for place, line in {"none.py": "it defines 0 tasks", "missing.py": "there is no such file"}.items():
        assert main([*given, f"{tmp_path}/{place}"]) == 2
        assert f"{tmp_path}/{place}: {line}" in capsys.readouterr().err


def test_what_is_done_is_told_and_written_before_the_next_benchmark_begins(
    model: str, rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    svamp, out = tmp_path / "svamp.json", tmp_path / "new" / "results.parquet"
    svamp.write_text('[{"Body": "so", "Question": "it", "Answer": 7}]')
    ask = toolformer_ray.evals.evaluate.evaluate

    def interrupted(decoder, key, *others, **more):  # type: ignore[no-untyped-def]
        if key == "svamp":
            raise KeyboardInterrupt
        return ask(decoder, key, *others, **more)

    monkeypatch.setattr(toolformer_ray.evals.evaluate, "evaluate", interrupted)
    given = ["--model", model, "--tasks", "continuation,svamp", "--path.continuation", rows, "--path.svamp", str(svamp)]
    assert main(["evaluate", *given, "--call-top-k", "1", "--out", str(out)]) == 130
    told = capsys.readouterr().err
    assert "continuation, 3 questions, with tools: 66.7% right, a tool was called on 100.0%\n" in told
    assert "continuation, 3 questions, without tools: 66.7% right, a tool was called on 0.0%\n" in told
    assert duckdb.read_parquet(str(out)).aggregate("task, count(*)").fetchall() == [("continuation", 6)]
    figures = json.loads(out.with_suffix(".json").read_text())
    assert [(line["task"], line["num_questions"]) for line in figures["tasks"]] == [("continuation", 3)] * 2
    assert sorted(path.name for path in out.parent.iterdir()) == ["results.json", "results.parquet"]


def test_a_place_that_cannot_be_written_is_found_before_the_model_is_loaded(
    refuse: Refuse, rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.json").mkdir()
    to = ("--model", "no/such/model", "--tasks", "continuation", "--path.continuation", rows, "--out")
    for place in ("file/results.parquet", "folder.parquet"):
        line = refuse("evaluate", *to, str(tmp_path / place))
        assert f"--out is {tmp_path / place}; it cannot be written" in line
    assert "--out is s3://b/x.parquet; it must be a path on this machine" in refuse("evaluate", *to, "s3://b/x.parquet")
    assert not Path("s3:").exists()
    assert "no/such/model" in refuse("evaluate", *to, str(tmp_path / "good" / "results.parquet"))
    assert list((tmp_path / "good").iterdir()) == []


def test_a_prompt_that_does_not_fit_the_window_is_told(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / "rows.jsonl"
    long.write_text(json.dumps({"prompt": "so it is" * 1000, "answers": ["so"]}) + "\n")
    assert main(["evaluate", "--model", model, "--tasks", "continuation", "--path.continuation", str(long)]) == 0
    assert "prompts that lost their beginning: 1" in capsys.readouterr().err


def test_of_all_benchmarks_those_without_data_of_their_own_are_left_out(
    refuse: Refuse, model: str, tmp_path: Path
) -> None:
    line = refuse("evaluate", "--model", model, "--tasks", "all", "--data", str(tmp_path))
    assert "asdiv" in line
    decoder = DecoderOptions(model=ModelOptions(model=model))
    assert "continuation" not in EvaluateOptions(tasks="all", decoder=decoder).keys
    given = EvaluateOptions(tasks="all", decoder=decoder, path={"continuation": "rows.jsonl"})
    assert "continuation" in given.keys


def test_what_cannot_be_asked_is_refused_in_one_line(refuse: Refuse, model: str, rows: str, tmp_path: Path) -> None:
    to = ("--model", model, "--tasks")
    assert "there is no such benchmark: choose among asdiv" in refuse("evaluate", *to, "sums")
    assert "name at least one of" in refuse("evaluate", *to, ",")
    assert "is not there; give a file" in refuse("evaluate", *to, "svamp", "--data", str(tmp_path))
    assert "a row has no usable 'Body'" in refuse("evaluate", *to, "svamp", "--path.svamp", rows)
    assert "--path.wikitext2 is data/eval/wikitext2/test.txt; it cannot be read as text (" in refuse(
        "evaluate", *to, "continuation,wikitext2", "--path.continuation", rows
    )
    assert "must end in .parquet" in refuse("evaluate", *to, "svamp", "--out", "results.csv")


def test_data_in_which_there_is_nothing_to_ask_are_refused_in_one_line(
    refuse: Refuse, model: str, tmp_path: Path
) -> None:
    to = ("--model", model, "--tasks")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("")
    line = refuse("evaluate", *to, "continuation", "--path.continuation", str(rows))
    assert f"--path.continuation is {rows}; it holds no question that continuation can ask; give other data" in line
    assert f"--path.wikitext2 is {rows}; it holds no text; give other" in refuse(
        "evaluate", *to, "wikitext2", "--path.wikitext2", str(rows)
    )
    rows.write_text('{"prompt": "so \\ud800", "answers": "so", "text": "so \\ud800"}\n')
    for key in ("continuation", "wikitext2"):
        assert f"{rows} has a text with half a character" in refuse("evaluate", *to, key, f"--path.{key}", str(rows))
    rows.write_text('{"text": 5}\n')
    assert f"{rows}; it cannot be read as text" in refuse("evaluate", *to, "wikitext2", "--path.wikitext2", str(rows))
