"""A user's own tool: a function in a file becomes a run, which is read when the file is gone."""

import json
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.calling_run import assert_same_rows, read_all, write_corpus
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.jobs.python_api import annotate, read_options
from toolformer_ray.records.stages import Augmented, Executed
from toolformer_ray.tools.asking.answer_store import AnswerOptions
from toolformer_ray.tools.tool import answer_fingerprint

pytestmark = pytest.mark.usefixtures("workers_in_process")

UNITS = """from toolformer_ray import tool

@tool
def convert(amount: float) -> str:
    "Converts miles into kilometres."
    return f"{amount * 1.609:.1f}"
"""


@pytest.fixture(scope="module")
def converting_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"), tool="Convert")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user works: a corpus and a tool, and nothing of this repository."""
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "texts.jsonl")
    (tmp_path / "units.py").write_text(UNITS)
    return tmp_path


def arguments(model: str, run: str = "run", *more: str) -> list[str]:
    return [
        *("annotate", "--run", run, "--corpus", "texts.jsonl", "--model", model, "--tools", "./units.py"),
        *("--as-in-paper", "--max-call-tokens", "10", "--units.max-places", "8"),
        *("--units.min-open-probability", "0", "--units.num-samples", "40"),
        *("--units.min-loss-reduction=-9", "--retry-delay", "0", "--model-workers", "1", *more),
    ]


def test_a_function_of_five_lines_is_taught_and_its_run_is_read_without_its_file(
    folder: Path, converting_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(converting_model)) == 0
    (folder / "units.py").unlink()
    executed = read_all("run", "executed", Executed)
    [call, *_] = [row for row in executed if row.status == "ok" and "+" not in row.call_input]
    assert call.result == f"{float(call.call_input) * 1.609:.1f}"
    assert {row.note for row in executed if row.status == "bad_input"} == {"argument amount"}
    assert any(row.num_calls for row in read_all("run", "augmented", Augmented))
    capsys.readouterr()
    for command in (["status", "run"], ["show", "run", "--tool", "units"]):
        assert main(command) == 0
        assert "Convert" in capsys.readouterr().out
    for command in (["verify", "run"], ["card", "run"]):
        assert main(command) == 0, command
    assert "Convert" in (folder / "run/README.md").read_text()
    export = ["export", "--run", "run", "--format", "chat", "--out", "chat.jsonl", "--num-held-out", "0"]
    assert main([*export, "--min-loss-reduction.units", "1e9"]) == 2  # the run declares the tool; nothing is so useful
    assert "no call was kept" in capsys.readouterr().err
    assert main(export) == 0
    row = json.loads((folder / "chat.jsonl").read_text().splitlines()[0])
    assert row["tools"][0]["function"]["parameters"]["properties"] == {"amount": {"type": "number"}}
    called = next(message["tool_calls"][0]["function"] for message in row["messages"] if "tool_calls" in message)
    assert called["name"] == "Convert" and isinstance(called["arguments"]["amount"], int | float)


def test_another_text_of_the_file_is_another_tool(
    folder: Path, converting_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(converting_model)) == 0
    (folder / "elsewhere").mkdir()
    (folder / "units.py").rename(folder / "elsewhere/units.py")
    moved = [word.replace("./units.py", "elsewhere/units.py") for word in arguments(converting_model)]
    assert main(moved) == 0  # where the file lies decides nothing
    (folder / "elsewhere/units.py").write_text(UNITS.replace("1.609", "1.6093"))
    capsys.readouterr()
    assert main(moved) == 2
    assert "the file or the data behind the tool units has changed" in capsys.readouterr().err


def test_from_python_a_tool_is_given_by_its_place_or_as_it_is(
    folder: Path, converting_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    (folder / "unit_tools.py").write_text(UNITS)
    import unit_tools  # type: ignore[import-not-found]

    run = annotate(
        run="run", corpus="texts.jsonl", model=converting_model, tools=["./units.py"], units={"max_places": 2}
    )
    assert run.settings["units.max-places"] == 2
    options = read_options(run="r", corpus="c", model="m", tools=["calculator", unit_tools.convert])
    assert options.tools.keys == ("calculator", "convert")
    assert options.tools.written == ("calculator", "unit_tools:convert")
    assert answer_fingerprint(options.tools.make()["convert"]).isalnum()


def test_a_run_that_is_repeated_loads_no_file_that_the_run_names(
    folder: Path, converting_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(converting_model)) == 0
    (folder / "units.py").write_text("raise SystemExit('it was run')")
    capsys.readouterr()
    assert main(["annotate", "--run", "again", "--from-run", "run"]) == 2
    assert "run: the run does not hold the tools of its user's own, ./units.py; give --tools" in capsys.readouterr().err
    (folder / "units.py").write_text(UNITS)
    assert main(["annotate", "--run", "again", "--from-run", "run", "--tools", "./units.py"]) == 0
    assert_same_rows(folder / "run", "again")


def test_the_help_and_a_settings_file_know_the_options_of_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["annotate", "--help", "--tools", "./units.py"]) == 0
    assert "--units.max-places" in capsys.readouterr().out
    (folder / "run.toml").write_text(
        'run = "r"\ncorpus = ["c"]\nmodel = "m"\ntools = ["./units.py"]\n[units]\ntimeout = 3\n'
    )
    assert main(["annotate", "--config", "run.toml", "--write-config", "-"]) == 0
    written = capsys.readouterr().out
    assert 'tools = ["./units.py"]' in written and "timeout = 3" in written.partition("[units]")[2]


def test_what_is_no_tool_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.py").write_text("x = 1\n1 / 0\n")
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "same.py").write_text(UNITS)
    for place, line in {
        "./missing.py": "./missing.py: there is no such file",
        "./broken.py": "./broken.py: line 2: ZeroDivisionError: division by zero",
        "./empty.py": "./empty.py: it defines no tool",
        "no.such.module:Units": "no.such.module:Units: no.such.module cannot be imported",
        "abacus": "--tools is abacus; there is no such tool; choose among calculator",
        "./units.py,./same.py": "./units.py and ./same.py are both called 'Convert' in texts",
        "json:loads": "json:loads: json has no tool loads",
    }.items():
        assert main(["annotate", "--run", "r", "--corpus", "c", "--model", "m", "--tools", place]) == 2
        [told] = capsys.readouterr().err.splitlines()
        assert line in told


def test_answers_of_other_texts_of_the_file_are_other_answers(folder: Path) -> None:
    def fingerprint_of_answers() -> str:
        options = read_options(run="r", corpus="c", model="m", tools="./units.py")
        assert options.tools.answers == AnswerOptions()
        return answer_fingerprint(options.tools.make()["units"])

    before = fingerprint_of_answers()
    (folder / "units.py").write_text(f"{UNITS}# A remark.\n")
    assert fingerprint_of_answers() != before
