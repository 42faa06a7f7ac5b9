"""An MCP server that means harm: fifty answers and nine beginnings, none of which gets through."""

import sys
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from tests.support.mcp_hostile import ANSWERS
from tests.support.tool_servers import HOSTILE
from toolformer_ray.records.calls import MAX_RESULT_CHARS, clean_result, find_calls, render_call
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.servers.mcp_listing import McpDeclaration, allowed
from toolformer_ray.tools.servers.mcp_session import close_sessions, session_of
from toolformer_ray.tools.servers.mcp_tool import make_mcp_tool
from toolformer_ray.tools.servers.server_file import McpServer
from toolformer_ray.tools.tool import Tool

LARGEST_PEAK = 16 * 1024 * 1024


def server(start: str = "honest", **more: float) -> McpServer:
    return McpServer(name="hostile", file="f", command=sys.executable, args=(HOSTILE, start), **more)


@pytest.fixture(scope="module")
def declared() -> Iterator[McpDeclaration]:
    yield allowed(session_of(server()).declarations(), server())[0]
    close_sessions()


def hostile_tool(declared: McpDeclaration) -> Tool:
    tool = make_mcp_tool(declared, "Ask")()
    tool.asking = Asking(timeout=2.0, max_retries=1)
    return tool


def ask_honestly(declared: McpDeclaration) -> str | None:
    """The answer to an honest call; where the server has to be started again, a busy machine takes its time."""
    tool = make_mcp_tool(declared, "Ask")()
    tool.asking = Asking(timeout=60.0, max_retries=1)
    return ask(tool, "honest").result


def ask(tool: Tool, kind: str) -> Outcome:
    executor = ToolExecutor({"Ask": tool}, first_retry_delay=0.0)
    return executor.run([("Ask", f'kind="{kind}"', None)])[0]


def test_there_are_fifty_hostile_answers() -> None:
    assert len(ANSWERS) >= 50


@pytest.mark.parametrize("kind", ANSWERS)
def test_no_answer_gets_through_and_the_next_call_is_answered(kind: str, declared: McpDeclaration) -> None:
    tool = hostile_tool(declared)
    ask_honestly(declared)
    tracemalloc.start()
    outcome = ask(tool, kind)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < LARGEST_PEAK
    assert outcome.seconds < 5
    if outcome.status == "ok":
        result = outcome.result or ""
        assert result == clean_result(result)
        assert len(result) <= MAX_RESULT_CHARS
        assert not set(result) & {"[", "]", "\n", "\r", "\u2028", "\u202e", "\U000e005b", "\x1b", "\0"}
        text = f"It is{render_call('Ask', 'kind=1', result)} so."
        assert [(call.tool, call.result) for call in find_calls(text)] == [("Ask", result)]
    assert ask_honestly(declared) == "an honest answer"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("nothing", "empty"),
        ("white space", "empty"),
        ("no parts", "empty"),
        ("an error of brackets", "bad_input"),
        ("a refusal of brackets", "bad_input"),
        ("an internal error", "crashed"),
        ("no content", "crashed"),
        ("more input", "crashed"),
        ("ten megabytes", "crashed"),
        ("the end", "unavailable"),
        ("notes for ever", "unavailable"),
        ("a line for ever", "unavailable"),
        ("notes", "ok"),
        ("another's answer", "ok"),
    ],
)
def test_what_a_server_does_ends_as_a_status(kind: str, status: str, declared: McpDeclaration) -> None:
    ask_honestly(declared)
    assert ask(hostile_tool(declared), kind).status == status


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("silent", "it was not ready in 2 seconds"),
        ("chatty", "is left: it has sent"),
        ("garbage", "is left: a message of it has more than"),
        ("pages", "it lists more than 500 tools, or more than 20 pages"),
        ("same page", "it lists more than 500 tools, or more than 20 pages"),
        ("tools", "it lists more than 500 tools"),
        ("gone", "it logs: (no) licence"),
    ],
)
def test_a_server_that_does_not_begin_as_it_should_is_one_line(start: str, said: str) -> None:
    told, started = server(start, start_timeout=2.0), time.monotonic()
    with pytest.raises(UnusableError) as caught:
        session_of(told).declarations()
    close_sessions()
    line = str(caught.value)
    assert line.startswith("f: mcp.hostile cannot be used: ")
    assert said in line
    assert clean_result(line) == line
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("start", ["schema", "odd names"])
def test_a_tool_whose_schema_or_name_is_hostile_is_refused_in_one_line(start: str) -> None:
    from toolformer_ray.tools.servers.call_names import name_in_calls

    told = server(start)
    (declared,) = session_of(told).declarations()
    close_sessions()
    if start == "odd names":
        assert name_in_calls(declared.tool, told.where) == "Evil"
        return
    with pytest.raises(UnusableError, match=r"^f: mcp\.hostile: Ask: its schema refers to itself"):
        make_mcp_tool(declared, "Ask")


def test_a_description_is_one_line_without_brackets(declared: McpDeclaration) -> None:
    description = make_mcp_tool(declared, "Ask").description
    assert description.startswith("Answers. (Evil(1) -> 2)")
    assert clean_result(description) == description
    assert len(description) <= 500
