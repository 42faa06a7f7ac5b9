"""`toolformer generate` from the command line, on a small model that writes sums as calls."""

import errno
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.chain_model import save_chain_model
from tests.support.refusals import Refuse
from toolformer_ray.decode.completion import Piece
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.jobs.decoding.generate import TerminalTexts
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.tools.asking.answer_store import MARKER

EAGER = ("--call-top-k", "1", "--max-calls", "3", "--max-call-tokens", "12")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_chain_model(tmp_path_factory.mktemp("model"))


def generate(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """What is printed and what is said."""
    assert main(["generate", *arguments]) == 0
    printed = capsys.readouterr()
    return printed.out, printed.err


def test_texts_come_in_the_order_of_their_prompts_and_say_what_became_of_calls(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = ["it is", "so it", "12"]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts[1:]) + "\n")
    given = ("--model", model, "--file", str(tmp_path / "prompts.txt"), "--max-new-tokens", "24", *EAGER)
    out, err = generate(capsys, prompts[0], "--json", "--temperature", "1", *given)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["prompt"] for row in rows] == prompts
    calls = [call for row in rows for call in row["calls"]]
    answered = [call for call in calls if call["status"] == "ok"]
    assert answered
    assert f"{len(answered)} ok" in err
    for row in rows:
        for call in row["calls"]:
            written = f" [Calculator({call['call_input']}) -> {call['result']}]"
            assert (written in row["text"]) == (call["status"] == "ok")
    # The same prompts alone and the same seed: the same texts.
    alone, _ = generate(
        capsys, prompts[0], "--json", "--temperature", "1", "--model", model, "--max-new-tokens", "24", *EAGER
    )
    assert json.loads(alone)["text"] == rows[0]["text"]


def test_in_a_pipe_a_text_is_printed_behind_its_prompt(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--model", model, "--max-new-tokens", "5", "--max-calls", "0")
    out, err = generate(capsys, "it is", *arguments)
    text = json.loads(generate(capsys, "it is", "--json", *arguments)[0])["text"]
    assert (out, err) == (f"it is{text}\n", "")


def test_prompts_are_read_from_the_standard_input_if_none_is_given(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("One\nTwo\n"))
    out, _ = generate(capsys, "--model", model, "--max-new-tokens", "1", "--json")
    assert [json.loads(line)["prompt"] for line in out.splitlines()] == ["One", "Two"]


def test_on_a_terminal_an_answer_has_a_colour_of_its_own_and_no_text_gives_the_terminal_orders() -> None:
    out = io.StringIO()
    TerminalTexts(out).tell("Is", [Piece(" \x1b[2J5", "text"), Piece(" [C(2) -> ", "call"), Piece("7", "result")])
    assert out.getvalue() == "\x1b[2mIs\x1b[0m \ufffd[2J5\x1b[36m [C(2) -> \x1b[0m\x1b[1;32m7\x1b[0m"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--tools", "weather"), "--tools is weather; there is no such tool"),
        (("--tools", "search"), "--search.index"),
        (("--tools", "search", "--search.index", "/no/such/index"), "/no/such/index is no passage index"),
        (("--max-calls", "-1"), "--max-calls is -1; it must be at least 0"),
        (("--temperature", "-1"), "--temperature is -1.0; it must be"),
        (("--batch-size", "0"), "--batch-size is 0; it must be at least 1"),
        (("--file", "/no/such/file"), "--file is /no/such/file; it cannot be read (No such file or directory)"),
    ],
)
def test_what_the_user_has_to_change_is_one_line(
    refuse: Refuse, arguments: Sequence[str], line: str, model: str
) -> None:
    assert line in refuse("generate", "A prompt", "--model", model, *arguments)


def test_a_prompt_that_is_longer_than_the_window_is_refused_before_any_text_is_written(
    refuse: Refuse, model: str
) -> None:
    line = refuse("generate", "short", "12 " * 300, "--model", model)
    assert "leaves nothing of the window of 512 tokens" in line
    assert "'12 12 12" in line


def test_a_prompt_that_the_shell_did_not_give_as_utf_8_is_refused(refuse: Refuse, model: str) -> None:
    line = refuse("generate", "short", b"caf\xe9".decode("utf-8", "surrogateescape"), "--model", model)
    assert r"character 3 of a prompt is '\udce9', half a character" in line
    assert r"give the one that begins 'caf\udce9' as UTF-8" in line


def test_a_checkpoint_without_tokenizer_is_refused(refuse: Refuse, model: str, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bare" / name).unlink(missing_ok=True)
    line = refuse("generate", "A prompt", "--model", str(tmp_path / "bare"))
    assert f"--model is {tmp_path / 'bare'}; there is no tokenizer in" in line


def test_a_recording_that_lacks_calls_is_an_error_once_the_texts_are_there(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_write(_: RunFolder, name: str, __: object) -> None:
        if name != MARKER:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RunFolder, "write_json", refuse_to_write)
    given = ("it is", "--json", "--model", model, "--tools", "calculator", "--max-new-tokens", "4", *EAGER)
    whole, _ = generate(capsys, *given)
    assert main(["generate", *given, "--record", str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert json.loads(printed.out)["text"] == json.loads(whole)["text"]
    assert f"--record is {tmp_path}; it lacks calls that were asked (" in printed.err
    assert "No space left on device); make room there or give another folder" in printed.err.splitlines()[-1]


def test_a_tool_that_texts_name_and_the_command_did_not_load_is_said_at_the_end(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--json", "--temperature", "1", "--model", model, "--tools", "calendar", "--max-new-tokens", "24", *EAGER)
    out, err = generate(capsys, "it is", *given)
    statuses = [call["status"] for line in out.splitlines() for call in json.loads(line)["calls"]]
    assert "unknown_tool" in statuses
    assert "calls of tools that were not loaded were left out: Calculator (" in err
    assert err.strip().endswith("load it with --tools calendar,calculator")


def test_a_tool_of_the_users_own_is_named_by_its_file_in_what_to_type_next(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "miles.py"
    file.write_text(
        "from toolformer_ray import tool\n@tool\ndef miles(n: float) -> str:\n    'Doubles.'\n    return str(n)\n"
    )
    given = ("--temperature", "1", "--model", model, "--tools", str(file), "--max-new-tokens", "24", *EAGER)
    assert generate(capsys, "it is", *given)[1].strip().endswith(f"load it with --tools {file},calculator")


def test_a_tool_that_the_model_was_taught_has_to_be_loaded_or_barred(
    refuse: Refuse, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taught = str(shutil.copytree(model, tmp_path / "taught"))
    (tmp_path / "taught/toolformer.json").write_text('{"tools": ["Calculator", "WikiSearch"]}')
    given = ("it is", "--model", taught, "--tools", "calculator", "--max-new-tokens", "4")
    line = refuse("generate", *given)
    assert "was taught to call WikiSearch, which --tools does not load" in line
    assert line.endswith("load all with --tools calculator,search, or leave calls out with --barred WikiSearch")
    for leave_out in (("--barred", "WikiSearch"), ("--max-calls", "0")):
        generate(capsys, *given, *leave_out)
