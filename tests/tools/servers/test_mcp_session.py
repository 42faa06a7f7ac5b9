"""The session of a process with an MCP server: what it answers, what breaks it, what it costs."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.tool_servers import UNITS_OF_SDK, free_port, units, units_over_http
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.asking.answer_store import AnswerOptions, open_store
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.servers.mcp_listing import allowed
from toolformer_ray.tools.servers.mcp_session import close_sessions, session_of
from toolformer_ray.tools.servers.mcp_tool import make_mcp_tool
from toolformer_ray.tools.servers.server_file import McpServer
from toolformer_ray.tools.tool import Tool, answer_fingerprint

REPOSITORY = Path(__file__).parents[3]
PASS = {"environment": ("PATH", "UNITS_VERSION", "UNITS_SECONDS")}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("UNITS_VERSION", "1")
    monkeypatch.setenv("UNITS_SECONDS", "0")
    yield
    close_sessions()


def tools_of(server: McpServer) -> dict[str, Tool]:
    declared = {told.tool: told for told in session_of(server).declarations()}
    return {name: make_mcp_tool(told, name.capitalize())() for name, told in declared.items()}


def run(tool: Tool, inputs: list[str], **asking: float) -> list[tuple[str, str | None]]:
    tool.asking = Asking(**{"timeout": 20.0} | asking)
    executor = ToolExecutor({tool.name: tool}, first_retry_delay=0.01)
    return [(outcome.status, outcome.result) for outcome in executor.run([(tool.name, one, None) for one in inputs])]


def test_calls_with_named_arguments_are_answered_over_pipes_and_over_http() -> None:
    port = free_port()
    with units_over_http(port):
        for server in (
            units(args=(UNITS_OF_SDK,)),
            McpServer(name="units", file="f", url=f"http://127.0.0.1:{port}/mcp"),
        ):
            tools = tools_of(server)
            assert tools["convert"].schema["required"] == ["amount"]
            inputs = ['amount=26, unit="km"', '0.5, "m"', 'amount="x", unit="km"', 'unit="km"']
            answers = run(tools["convert"], inputs)
            assert answers == [("ok", "26000 m"), ("ok", "0.5 m"), ("bad_input", None), ("bad_input", None)]
            # What the schema allows and the server refuses.
            assert run(tools["convert"], ['amount=1, unit="mile"']) == [("bad_input", None)]


def test_many_threads_share_one_session() -> None:
    server = units()
    (convert,) = [tool for name, tool in tools_of(server).items() if name == "convert"]
    inputs = [f'amount={number}, unit="m"' for number in range(60)]
    assert run(convert, inputs, max_in_flight=30) == [("ok", f"{number} m") for number in range(60)]
    assert session_of(server) is session_of(units())


def test_the_program_sees_the_variables_that_are_named_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNITS_KEY", "a-key-of-mine")
    monkeypatch.setenv("OTHER_KEY", "another-key")
    ((status, seen),) = run(tools_of(units(environment=("UNITS_KEY",)))["environment"], [""])
    assert status == "ok"
    # Python itself adds the last one where no language is set.
    assert set((seen or "").split()) - {"LC_CTYPE"} == {"UNITS_KEY"}


def test_a_server_that_is_killed_in_the_middle_is_started_again_and_no_call_is_lost() -> None:
    tools = tools_of(units())
    crashes = threading.Thread(target=lambda: [run(tools["crash"], ["1"], max_retries=0) for _ in range(3)])
    crashes.start()
    inputs = [f'amount={number}, unit="m"' for number in range(200)]
    assert run(tools["convert"], inputs) == [("ok", f"{number} m") for number in range(200)]
    crashes.join()


def test_a_server_over_http_that_is_away_for_seconds_costs_no_call() -> None:
    port = free_port()
    server = McpServer(name="units", file="f", url=f"http://127.0.0.1:{port}/mcp")
    with units_over_http(port):
        convert = tools_of(server)["convert"]
    away = threading.Thread(target=_serve_after, args=(port, 2.0))
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(run, convert, ['amount=1, unit="m"'], max_retries=3)
        away.start()
        assert answers.result() == [("ok", "1 m")]
    _served.set()
    away.join()


_served = threading.Event()


def _serve_after(port: int, seconds: float) -> None:
    _served.clear()
    _served.wait(seconds)
    with units_over_http(port):
        _served.wait(60)


def test_another_version_of_the_server_is_another_tool_and_is_not_asked_in_the_name_of_the_first(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = units(**PASS)
    first = tools_of(server)
    close_sessions()
    monkeypatch.setenv("UNITS_VERSION", "2")
    second = tools_of(server)
    assert answer_fingerprint(first["convert"]) != answer_fingerprint(second["convert"])
    with caplog.at_level(logging.WARNING):
        assert run(first["convert"], ['1, "m"'], max_retries=0) == [("unavailable", None)]
    assert "units 1, now units 2" in caplog.text
    assert run(second["convert"], ['1, "m"']) == [("ok", "1 m")]


def test_answers_are_recorded_and_replayed_without_the_server_and_not_for_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = units(**PASS)
    tools = tools_of(server)
    calls = [("Convert", text, None) for text in ('26, "km"', '1, "mile"')]
    recorded = ToolExecutor({"Convert": tools["convert"]}, open_store(AnswerOptions(record=str(tmp_path)))).run(calls)
    close_sessions()
    replay = open_store(AnswerOptions(replay=str(tmp_path)))
    with monkeypatch.context() as without_session:
        without_session.setattr("toolformer_ray.tools.servers.mcp_tool.session_of", None)
        replayed = ToolExecutor({"Convert": tools["convert"]}, replay).run(calls)
    shown = [(outcome.status, outcome.result) for outcome in replayed]
    assert shown == [(one.status, one.result) for one in recorded] == [("ok", "26000 m"), ("bad_input", None)]
    monkeypatch.setenv("UNITS_VERSION", "2")
    other = ToolExecutor({"Convert": tools_of(server)["convert"]}, open_store(AnswerOptions(replay=str(tmp_path))))
    assert [outcome.note for outcome in other.run(calls)] == ["not_recorded"] * 2


def test_a_call_over_its_time_times_out_and_the_session_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNITS_SECONDS", "30")
    tools = tools_of(units(**PASS))
    assert run(tools["convert"], ['1, "m"'], timeout=0.3) == [("timeout", None)]
    assert run(tools["environment"], [""])[0][0] == "ok"


def test_only_tools_that_say_that_they_only_read_are_allowed_unless_told() -> None:
    found = session_of(units()).declarations()
    assert [told.tool for told in allowed(found, units())] == ["convert", "crash", "environment"]
    assert [told.tool for told in allowed(found, units(tools=("convert",)))] == ["convert"]
    assert [told.tool for told in allowed(found, units(tools=("write_down",), allow_writing=True))] == ["write_down"]
    for server, said in (
        (units(tools=("write_down",)), "names 'write_down', which does not say that it only reads"),
        (units(tools=("convrt",)), "names 'convrt'; the server has convert, crash, environment, write_down"),
    ):
        with pytest.raises(UnusableError, match=said) as caught:
            allowed(found, server)
        assert str(caught.value).startswith("servers.toml: mcp.units.tools ")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (units(command="no-such-program"), "command is 'no-such-program'; there is no such program"),
        (units(environment=("NO_SUCH_KEY",)), "names the variable NO_SUCH_KEY, which is not set"),
        (units(args=("-c", "print(1)")), "Connection closed"),
        (McpServer(name="units", file="f", url=f"http://127.0.0.1:{free_port()}/mcp"), "ConnectError"),
    ],
)
def test_a_server_that_cannot_be_reached_is_one_line(server: McpServer, said: str) -> None:
    with pytest.raises(UnusableError) as caught:
        session_of(server).declarations()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_key_that_a_server_says_back_is_in_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("UNITS_KEY", "a-key-of-mine")
    program = "import os, sys; sys.stderr.write('[my key] ' + os.environ['UNITS_KEY'] + '\\n' * 500)"
    with caplog.at_level(logging.DEBUG), pytest.raises(UnusableError) as caught:
        session_of(units(args=("-c", program), environment=("UNITS_KEY",))).declarations()
    assert "(my key) ***" in str(caught.value)
    assert "(my key) ***" in caplog.text
    assert "a-key-of-mine" not in caplog.text + str(caught.value)
    assert len([record for record in caplog.records if "mcp:units" in record.message]) < 30


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children of a killed process on Linux only")
def test_the_program_dies_with_the_process_that_started_it_even_if_that_is_killed() -> None:
    script = (
        "import sys, time; from tests.support.tool_servers import units; "
        "from toolformer_ray.tools.servers.mcp_session import session_of; session_of(units()).declarations(); "
        'print(open(f\'/proc/{__import__("os").getpid()}/task/{__import__("os").getpid()}/children\').read() or '
        "' '.join(c for t in __import__('os').listdir('/proc/self/task') "
        "for c in open(f'/proc/self/task/{t}/children').read().split()), flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    children = [int(child) for child in process.stdout.readline().split()]
    assert children
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 10
    while any(_is_alive(child) for child in children) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert not any(_is_alive(child) for child in children)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has asked about yet is no longer running.
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
