"""What a user gets wrong is one line that names the option, the value and what to do, and exit code 2."""

import gzip
import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from tests.support.calling_model import save_calling_model
from tests.support.refusals import Refuse
from toolformer_ray.jobs.cli.commands import app
from toolformer_ray.jobs.cli.main import describe_error, main
from toolformer_ray.records.errors import OptionError
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.calendar import Calendar
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.options import Asking

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"text": "One and two are 3.", "body": "x"}) + "\n")
    return path


def annotate(tmp_path: Path, *arguments: str) -> tuple[str, ...]:
    return ("annotate", "--run", str(tmp_path / "run"), *arguments)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--shard-size", "0"], "--shard-size is 0; it must be at least 1 text"),
        (["--shard-size=0"], "--shard-size is 0; it must be at least 1 text"),
        (
            ["--qa.num-samples", "3", "--calculator.num-samples", "0"],
            "--calculator.num-samples is 0; it must be at least 1",
        ),
        (["--timeout", "0"], "--timeout is 0.0; it must be more than 0 seconds"),
        (["--timeout", "5", "--calendar.timeout", "0"], "--calendar.timeout is 0.0; it must be more than 0 seconds"),
        (["--num-decoys", "1"], "--num-decoys is 1; it must be at least 2"),
        (["--model-workers", "0"], "--model-workers is 0; it must be at least 1"),
        (["--dtype", "float8"], "--dtype is float8; it must be float32 or bfloat16"),
        (["--seed", "x"], 'Invalid value for --seed: unable to convert "x" into int.'),
        (["--shard-siz", "3"], "Unknown option: --shard-siz. Did you mean --shard-size?"),
        (["--tools", "calculater"], "--tools is calculater; there is no such tool; choose among calculator, calendar"),
        (["--tools", ","], "--tools is empty; choose among calculator, calendar"),
        (["--tools", "search"], "--search.index"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(
    refuse: Refuse, arguments: list[str], line: str, tmp_path: Path, corpus: Path
) -> None:
    given = annotate(tmp_path, "--corpus", str(corpus), "--model", str(tmp_path), *arguments)
    assert line in refuse(*given)


def test_an_address_from_the_environment_is_named_as_the_variable_that_it_is() -> None:
    assert describe_error(OptionError("model", None, "`format` tokens needs it")) == (
        "--model is not given; --format tokens needs it"
    )
    assert describe_error(OptionError("RAY_ADDRESS", "h:1", "it cannot be reached; leave `address` out")) == (
        "RAY_ADDRESS is h:1; it cannot be reached; leave --address out"
    )


def test_a_command_alone_names_all_that_it_needs(refuse: Refuse) -> None:
    assert refuse("annotate") == 'Command "annotate" needs --run, --corpus and --model.'
    assert refuse("annotate", "--corpus=c") == 'Command "annotate" needs --run and --model.'
    assert refuse("generate", "a prompt") == 'Command "generate" needs --model.'
    assert "PASSAGES" in refuse("build-index").upper()


def test_an_option_that_is_hardly_like_what_was_typed_is_not_suggested(refuse: Refuse) -> None:
    assert refuse("annotate", "--run", "r", "--corpus", "c", "--model", "m", "--taus", "3") == (
        "Unknown option: --taus. `--help` lists all options."
    )


@pytest.mark.parametrize("both", [False, True])
def test_what_nobody_reads_any_more_ends_a_command_without_a_word(both: bool) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "toolformer_ray.jobs.cli.main", "tasks"]
    errors = write if both else subprocess.PIPE
    ended = subprocess.run(command, cwd=REPOSITORY, stdout=write, stderr=errors, text=True)
    os.close(write)
    assert ended.returncode == 141
    assert not ended.stderr


def test_a_missing_option_is_named(refuse: Refuse, tmp_path: Path) -> None:
    assert "--model" in refuse(*annotate(tmp_path, "--corpus", "a.txt"))


def write_corpora(folder: Path) -> None:
    (folder / "none.parquet").write_bytes(b"this is no Parquet")
    (folder / "other.jsonl").write_text('{"body": "x"}\n')
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' * 999)[:20])
    (folder / "empty.jsonl").write_text("")
    (folder / "what.exe").write_bytes(b"MZ")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("absent.jsonl", "absent.jsonl does not exist"),
        ("none.parquet", "none.parquet"),
        ("other.jsonl", "no column 'text' in"),
        ("cut.jsonl.gz", "cut.jsonl.gz cannot be read"),
        ("what.exe", "what.exe has no known ending"),
        ("empty.jsonl", "empty.jsonl is empty: it holds no document"),
    ],
)
def test_a_corpus_that_cannot_be_read_is_named_and_leaves_no_run(
    refuse: Refuse, name: str, line: str, tmp_path: Path, model: str
) -> None:
    write_corpora(tmp_path)
    given = annotate(tmp_path, "--corpus", str(tmp_path / name), "--model", model)
    assert line in refuse(*given, "--cache", str(tmp_path / "answers"))
    assert not (tmp_path / "run").exists() and not (tmp_path / "answers").exists()


def test_a_model_that_cannot_annotate_is_named(
    refuse: Refuse, tmp_path: Path, corpus: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = annotate(tmp_path, "--corpus", str(corpus), "--model")
    assert "--model is /no/such/folder" in refuse(*given, "/no/such/folder")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "--model is no-such-model; it is no folder here" in refuse(*given, "no-such-model")

    tokenizer = json.loads((Path(model) / "tokenizer.json").read_text())
    (tmp_path / "markless").mkdir()
    for path in Path(model).iterdir():
        (tmp_path / "markless" / path.name).write_bytes(path.read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {entry.replace("[", "\u0100" * 3): number for entry, number in vocabulary.items()}
    tokenizer["model"]["merges"] = []
    (tmp_path / "markless/tokenizer.json").write_text(json.dumps(tokenizer))
    line = refuse(*given, str(tmp_path / "markless"))
    assert "has no entry for the call-start marker" in line
    assert "use a model whose tokenizer has one" in line


def test_a_run_folder_that_cannot_be_written_is_refused(
    refuse: Refuse, tmp_path: Path, corpus: Path, model: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    where = str(tmp_path / "file/run")
    line = refuse("annotate", "--run", where, "--corpus", str(corpus), "--model", model)
    assert line.startswith(f"--run is {where}; it cannot be used (")
    assert line.endswith("; move away what is there or give another folder")


def test_a_refused_text_leaves_no_folder_of_answers(refuse: Refuse, tmp_path: Path) -> None:
    answers = str(tmp_path / "answers")
    given = ["generate", "--model", "/no/such/folder", "--tools", "calculator", "--record", answers, "A text."]
    assert "--model is /no/such/folder" in refuse(*given)
    assert not Path(answers).exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused_before_ray_starts(
    refuse: Refuse, tmp_path: Path, corpus: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: pytest.fail("Ray was started"))
    # The Ray that the tests share is neither seen nor ended.
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    given = annotate(tmp_path, "--corpus", str(corpus), "--model", model, "--device", "cuda")
    line = refuse(*given)
    assert line.startswith("--device is cuda; this machine has no CUDA device; use cpu, or")


def test_a_run_folder_of_something_else_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    for command in ("status", "query"):
        assert f"no run folder in {tmp_path}" in refuse(command, str(tmp_path))


def show_help(*arguments: str) -> dict[str, list[str]]:
    """What `--help-all` shows: the lines under each title, without their frame."""
    # In a process of its own: whoever prints help first in one decides how wide it is.
    command = [sys.executable, "-m", "toolformer_ray.jobs.cli.main", *arguments, "--help-all"]
    wide = {**os.environ, "COLUMNS": "250"}
    shown = subprocess.run(command, env=wide, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    groups = [group.splitlines() for group in shown.split("╭─ ")[1:]]
    return {lines[0].rstrip("─╮ "): [line.strip("│ ") for line in lines[1:]] for lines in groups}


@pytest.fixture(scope="module")
def annotate_help() -> dict[str, list[str]]:
    return show_help("annotate")


def test_what_a_first_user_needs_stands_first_on_the_help_page(annotate_help: dict[str, list[str]]) -> None:
    title, first = next(iter(annotate_help.items()))
    options = re.findall(r"^(?:\*\s+)?(--[a-z-]+)", "\n".join(first), re.MULTILINE)
    assert title == "Parameters" and len(options) <= 15
    assert {"--run", "--corpus", "--model", "--tools", "--device", "--dtype", "--max-documents"} <= set(options)
    assert list(annotate_help)[1:6] == ["Proposing", "Filter", "Asking tools", "Workers", "Progress"]


def test_help_tells_what_each_tool_is_taught_and_its_own_options_with_their_units(
    annotate_help: dict[str, list[str]],
) -> None:
    for key, tool in find_tools().items():
        shown = " ".join(annotate_help[f"Tool {key}: {tool.name}"])
        assert "tau_f, in nats: a call is kept if its result lowers the weighted loss by at least this much" in shown
        assert f"[default: {tool.teaching.max_places}]" in shown
        assert all(f"--{key}.{field.name.replace('_', '-')}" in shown for field in fields(tool.Options))
        assert f"--{key}.timeout" not in shown
    assert any(line.startswith("--timeout") for line in annotate_help["Asking tools"])
    assert "--qa.timeout 60" in annotate_help["Asking tools"][0]


def test_decoding_takes_no_teaching(refuse: Refuse) -> None:
    for command in (["generate"], ["serve"], ["evaluate", "--tasks", "svamp"]):
        line = refuse(*command, "--model", "x", "--calculator.max-places", "3")
        assert line.startswith("Unknown option: --calculator.max-places")


def test_a_tool_is_asked_as_all_are_unless_something_is_said_of_it_alone() -> None:
    given = ["--run", "r", "--corpus", "c", "--model", "m", "--tools", "calculator,calendar", "--timeout", "5"]
    _, bound, _ = app.parse_args(["annotate", *given, "--calendar.timeout", "3", "--calendar.max-places", "2"])
    tools = bound.arguments["options"].tools.make()
    assert (tools["calculator"].asking, tools["calendar"].asking) == (Asking(timeout=5), Asking(timeout=3))
    # What is not said stays as the tool has it.
    assert tools["calculator"].teaching == Calculator.teaching
    assert tools["calendar"].teaching == replace(Calendar.teaching, max_places=2)


def test_estimate_takes_the_command_of_annotate_as_it_is() -> None:
    given = ["--run", "r", "--corpus", "c", "d", "--model", "m", "--change-settings", "--log-every", "5"]
    (_, annotated, _), (_, estimated, _) = (app.parse_args([name, *given]) for name in ("annotate", "estimate"))
    assert estimated.arguments["options"].ingest == annotated.arguments["options"].ingest


def test_an_index_of_a_missing_file_is_refused(refuse: Refuse, tmp_path: Path) -> None:
    assert "does not exist" in refuse("build-index", str(tmp_path / "absent.jsonl"), str(tmp_path / "index"))


def test_an_index_is_built_from_a_file_of_passages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passages.jsonl").write_text('{"title": "Nile", "text": "A river."}\n')
    assert main(["build-index", str(tmp_path / "passages.jsonl"), str(tmp_path / "index")]) == 0
    assert capsys.readouterr().out == f"1 passages in {tmp_path / 'index'}\n"


@pytest.mark.parametrize(
    ("arguments", "not_imported"),
    [
        ([], "ray torch transformers datasets pyarrow"),
        (["--help"], "ray torch transformers datasets pyarrow"),
        (["--version"], "ray torch transformers datasets pyarrow"),
        (["annotate", "--help"], "torch transformers datasets"),
        (["annotate", "--shard-siz", "3"], "torch transformers datasets"),
        (["annot"], "torch transformers datasets"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(arguments: list[str], not_imported: str) -> None:
    check = (
        f"import sys; from toolformer_ray.jobs.cli.main import main; main({arguments!r}); "
        f"sys.exit(', '.join({set(not_imported.split())!r} & set(sys.modules)) or None)"
    )
    ended = subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", [("status",), ("query",)])
def test_no_key_of_a_location_is_printed(refuse: Refuse, command: tuple[str, ...]) -> None:
    line = refuse(*command, "ftp://KEY:SECRET@x/y?sas=SECRET")
    assert "ftp://x/y cannot be opened" in line and "SECRET" not in line
