"""What a user gets wrong is one line that names the option, the value and what to do, and exit code 2."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.calling_model import save_calling_model
from toolformer_ray.jobs.cli.main import main

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"text": "One and two are 3.", "body": "x"}) + "\n")
    return path


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a command is refused."""
    code = main(arguments)
    output, errors = capsys.readouterr()
    assert (code, output) == (2, ""), errors
    (line,) = errors.splitlines()
    assert line.startswith("toolformer: ")
    return line.removeprefix("toolformer: ")


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
        (["--model-workers", "0"], "--model-workers is 0; it must be at least 1"),
        (["--dtype", "float8"], "--dtype is float8; it must be float32 or bfloat16"),
        (["--seed", "x"], 'Invalid value for --seed: unable to convert "x" into int.'),
        (["--shard-siz", "3"], "Unknown option: --shard-siz. Did you mean --shard-size?"),
        (["--tools", "calculater"], "--tools names 'calculater', which is no tool; there are calculator, calendar"),
        (["--tools", ","], "--tools is empty; choose among calculator, calendar"),
        (["--tools", "search"], "--search.index"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(
    arguments: list[str], line: str, tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = annotate(tmp_path, "--corpus", str(corpus), "--model", str(tmp_path), *arguments)
    assert line in refuse(capsys, *given)


def test_a_missing_option_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model" in refuse(capsys, *annotate(tmp_path, "--corpus", "a.txt"))


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
    name: str, line: str, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_corpora(tmp_path)
    assert line in refuse(capsys, *annotate(tmp_path, "--corpus", str(tmp_path / name), "--model", model))
    assert not (tmp_path / "run").exists()


def test_a_model_that_cannot_annotate_is_named(
    tmp_path: Path, corpus: Path, model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = annotate(tmp_path, "--corpus", str(corpus), "--model")
    assert "--model /no/such/folder" in refuse(capsys, *given, "/no/such/folder")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "--model no-such-model is no folder here" in refuse(capsys, *given, "no-such-model")

    tokenizer = json.loads((Path(model) / "tokenizer.json").read_text())
    (tmp_path / "markless").mkdir()
    for path in Path(model).iterdir():
        (tmp_path / "markless" / path.name).write_bytes(path.read_bytes())
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {entry.replace("[", "\u0100" * 3): number for entry, number in vocabulary.items()}
    tokenizer["model"]["merges"] = []
    (tmp_path / "markless/tokenizer.json").write_text(json.dumps(tokenizer))
    line = refuse(capsys, *given, str(tmp_path / "markless"))
    assert "has no entry for the call-start marker" in line
    assert "use a model whose tokenizer has one" in line


def test_a_run_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, corpus: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    where = str(tmp_path / "file/run")
    line = refuse(capsys, "annotate", "--run", where, "--corpus", str(corpus), "--model", model)
    assert line.startswith(f"--run {where} cannot be used (")
    assert line.endswith("; move away what stands there or give another folder")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused_before_ray_starts(
    tmp_path: Path, corpus: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = annotate(tmp_path, "--corpus", str(corpus), "--model", model, "--device", "cuda")
    check = f"import sys; from jobs.cli.main import main; sys.exit(main({list(given)!r}))"
    refused = subprocess.run([sys.executable, "-c", check], cwd=REPOSITORY, capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("toolformer: --device cuda: this machine has no CUDA device; use --device cpu")
    assert len(refused.stderr.splitlines()) == 1


def test_a_run_folder_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("status", "query"):
        assert f"no run folder in {tmp_path}" in refuse(capsys, command, str(tmp_path))


def test_help_tells_every_option_of_every_tool_with_its_unit() -> None:
    # In a process of its own: whoever prints help first in one decides how wide it is.
    command, wide = (
        [sys.executable, "-m", "toolformer_ray.jobs.cli.main", "annotate", "--help"],
        {**os.environ, "COLUMNS": "250"},
    )
    shown = subprocess.run(command, env=wide, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    words = " ".join(shown.replace("│", " ").split())
    assert "tau_f, in nats: a call is kept if its result lowers the weighted loss by at least this much" in words
    assert "--search.index" in words


def test_an_index_of_a_missing_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refuse(capsys, "build-index", str(tmp_path / "absent.jsonl"), str(tmp_path / "index"))


def test_an_index_is_built_from_a_file_of_passages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passages.jsonl").write_text('{"title": "Nile", "text": "A river."}\n')
    assert main(["build-index", str(tmp_path / "passages.jsonl"), str(tmp_path / "index")]) == 0
    assert capsys.readouterr().out == f"1 passages in {tmp_path / 'index'}\n"


def test_nothing_heavy_is_imported_to_refuse_an_option() -> None:
    check = "import sys, jobs.cli.main as c; assert c.main(['annot']) == 2; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True, cwd=REPOSITORY, capture_output=True)


@pytest.mark.parametrize("command", [("status",), ("query",)])
def test_no_key_of_a_location_is_printed(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    line = refuse(capsys, *command, "ftp://KEY:SECRET@x/y?sas=SECRET")
    assert "ftp://x/y cannot be opened" in line and "SECRET" not in line
