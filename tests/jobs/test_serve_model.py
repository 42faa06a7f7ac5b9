"""`toolformer serve`: the real command on a real Ray Serve, asked by the real OpenAI client."""

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from safetensors.torch import load_file, save_file

from tests.support.chain_model import save_chain_model
from tests.support.refusals import Refuse
from tests.support.served import ROOT, Server, served
from toolformer_ray.jobs.cli.main import main

SECONDS_TO_END = 10
"""Five on an idle machine."""
CALL = {"max_calls": 2, "call_top_k": 1}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_chain_model(tmp_path_factory.mktemp("served") / "chain")


@pytest.fixture(scope="module")
def server(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(model, tmp_path_factory.mktemp("serving") / "stderr") as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="none is asked for", max_retries=0, timeout=60)


def test_ctrl_c_while_it_starts_ends_it_in_time_and_without_a_trace(model: str) -> None:
    command = [sys.executable, "-m", "toolformer_ray.jobs.cli.main", "serve", "--model", model, "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as starting:
        assert starting.stderr is not None
        assert any("starting Ray on this machine" in line for line in starting.stderr)
        starting.send_signal(signal.SIGINT)
        # A Ray that is starting is waited for, so that nothing of it is left.
        assert starting.wait(timeout=60) == 130
        assert "Traceback" not in starting.stderr.read()


def test_a_completion_has_its_calls_and_says_what_became_of_them(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="chain", prompt=["so it is", "12"], max_tokens=8, temperature=0, extra_body=CALL
    )
    first, second = answer.choices
    assert first.text == " [Calculator(1+2) -> 3] so it is [Calculator(1+2) -> 3] so it is 7 so"
    assert (first.finish_reason, first.model_extra["plain_text"]) == ("length", " so it is so it is 7 so")
    calls = first.model_extra["tool_calls_log"]
    assert [(call["tool"], call["call_input"], call["status"], call["result"]) for call in calls] == [
        ("Calculator", "1+2", "ok", "3")
    ] * 2
    assert (second.index, second.text[:1]) == (1, ")")
    assert answer.usage is not None and answer.usage.prompt_tokens == 8


def test_a_stream_is_the_same_text_in_pieces_and_ends_with_the_calls(client: openai.OpenAI) -> None:
    asked = {"model": "chain", "prompt": "so it is", "max_tokens": 8, "temperature": 0, "extra_body": CALL}
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    *texts, usage = chunks
    assert "".join(chunk.choices[0].text for chunk in texts) == whole.choices[0].text
    assert len(texts) > 4
    assert texts[-1].choices[0].finish_reason == "length"
    assert [call["status"] for call in texts[-1].choices[0].model_extra["tool_calls_log"]] == ["ok", "ok"]
    said = [piece for chunk in texts for piece in chunk.choices[0].model_extra.get("pieces", [])]
    assert [piece["text"] for piece in said if piece["by"] == "result"] == ["3", "3"]
    assert usage.usage == whole.usage


def test_many_clients_at_once_are_answered_like_one(client: openai.OpenAI) -> None:
    def ask(seed: int) -> str:
        asked = {"model": "chain", "prompt": "so it is", "max_tokens": 8, "seed": seed, "stop": ["7 so"]}
        return client.completions.create(**asked, extra_body=CALL | {"max_call_tokens": 12}).choices[0].text

    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(ask, range(16)))
    assert together[:4] == [ask(seed) for seed in range(4)]
    assert len(set(together)) > 3
    assert not [text for text in together if "7 so" in text]


def test_the_model_is_listed_and_no_other_answers(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chain"]
    assert client.models.retrieve("chain").owned_by == "toolformer-ray"
    with pytest.raises(openai.NotFoundError, match="the model 'gpt-j' is not served; there is 'chain'"):
        client.completions.create(model="gpt-j", prompt="so")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"n": 0}, "n is 0; it must be from 1 to 128"),
        ({"prompt": ["so", 2]}, "prompt must be a string, a list of token ids, or a list of such"),
        ({"prompt": [1, 99_999]}, "a prompt has the token id 99999; those of '"),
        ({"prompt": "1" * 600}, "a prompt of 601 tokens leaves nothing of the window of 512 tokens"),
        ({"prompt": "1" * 600, "stream": True}, "a prompt of 601 tokens leaves nothing of the window of 512 tokens"),
        ({"temperature": -1}, "temperature is -1.0; it must be"),
        ({"temperature": 10**400}, "temperature is an integer of 401 digits; give a smaller one"),
        ({"temperature": 1e-40}, "temperature is 1e-40; it must be 0 or from 1e-06 to 1e+06"),
        ({"max_tokens": 0}, "max_tokens is 0; it must be at least 1, unless echo is true"),
        ({"extra_body": {"tools": []}}, "tools is not supported: the server has its own tools"),
    ],
)
def test_a_request_that_cannot_be_met_says_why(client: openai.OpenAI, asked: dict[str, object], line: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(line)):
        client.completions.create(**{"model": "chain", "prompt": "so", **asked})  # type: ignore[arg-type]


def test_a_body_that_is_nested_too_deep_is_refused(client: openai.OpenAI) -> None:
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=60)
    for body in ("[" * 100_000, '{"model": "chain", "prompt": ' + "[" * 990 + "]" * 990 + "}"):
        connection.request("POST", "/v1/completions", body)
        refused = connection.getresponse()
        refused.read()
        assert refused.status == 400
    connection.close()


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (r'{"model": "chain", "prompt": ["so", "\ud800"]}', r"character 0 of a prompt is '\ud800', half a character"),
        (r'{"model": "chain", "prompt": "so", "\ud800": 1}', "? is not known here; leave it out"),
    ],
)
def test_half_a_character_which_json_can_spell_is_refused_and_the_others_are_answered(
    client: openai.OpenAI, body: str, line: str
) -> None:
    # The client sends UTF-8 only.
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=60)
    connection.request("POST", "/v1/completions", body)
    refused = connection.getresponse()
    assert (refused.status, json.load(refused)["error"]["message"][: len(line)]) == (400, line)
    connection.close()
    assert client.completions.create(model="chain", prompt="so", max_tokens=1).choices[0].text


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "; it has no weights in safetensors files; give a folder that has"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "; its model.safetensors is damaged (Error while"),
        (lambda path: path.write_bytes(b""), "; its model.safetensors is damaged (Error while"),
    ],
)
def test_weights_that_are_not_there_or_damaged_are_refused_before_ray_starts(
    refuse: Refuse,
    spoil: Callable[[Path], object],
    said: str,
    model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("toolformer_ray.jobs.driver.cluster.ray_session", start)
    spoilt = shutil.copytree(model, tmp_path / "spoilt")
    spoil(spoilt / "model.safetensors")
    assert f"--model is {spoilt}{said}" in refuse("serve", "--model", str(spoilt))


def test_what_only_a_replica_finds_wrong_is_one_line_too(model: str, tmp_path: Path) -> None:
    lacking = shutil.copytree(model, tmp_path / "lacking")
    weights = load_file(lacking / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    command = [sys.executable, "-m", "jobs.serve_model", "--model", str(lacking), "--port", "0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
    assert ended.stderr.splitlines()[-1] == (
        f"toolformer: no replica can be started: model {str(lacking)!r} lacks 1 of its weights, such as "
        "model.norm.weight; save it as the causal language model that it is"
    )


def test_a_tool_that_the_model_was_taught_has_to_be_loaded_or_barred(
    refuse: Refuse, model: str, tmp_path: Path
) -> None:
    taught = str(shutil.copytree(model, tmp_path / "taught"))
    (tmp_path / "taught/toolformer.json").write_text('{"tools": ["Calculator", "WikiSearch"]}')
    given = ("--model", taught, "--tools", "calculator")
    line = refuse("serve", *given)
    assert "was taught to call WikiSearch, which --tools does not load" in line
    assert line.endswith("or leave calls out with --barred WikiSearch")
    # Barred, it is not what is wrong any more.
    assert "--port" in refuse("serve", *given, "--barred", "WikiSearch", "--host", "192.0.2.1")


def test_a_port_that_is_taken_is_refused_before_ray_starts(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", model, "--port", port]) == 2
    assert f"--port is {port}; it cannot be listened on at 127.0.0.1" in capsys.readouterr().err


def test_sigterm_ends_the_server_in_time_and_without_a_trace(server: Server) -> None:
    server.process.terminate()
    assert server.process.wait(timeout=SECONDS_TO_END) == 143
    errors = server.errors.read_text()
    assert "starting Ray on this machine" in errors
    assert not re.search("Traceback|SIGTERM|Error", errors), errors
