"""A real MCP server in another language, over both transports."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.mcp_everything import find_everything
from tests.support.tool_servers import free_port, wait_for_port
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.servers.mcp_listing import McpDeclaration, allowed
from toolformer_ray.tools.servers.mcp_session import close_sessions, session_of
from toolformer_ray.tools.servers.mcp_tool import make_mcp_tool
from toolformer_ray.tools.servers.server_file import McpServer


@pytest.fixture(params=["pipes", "http"])
def declared(request: pytest.FixtureRequest) -> Iterator[list[McpDeclaration]]:
    node, index = find_everything()
    told: dict[str, object] = {"name": "everything", "file": "f", "tools": ("echo", "get-sum", "get-tiny-image")}
    if request.param == "pipes":
        server = McpServer(command=node, args=(index,), environment=("PATH",), **told)  # type: ignore[arg-type]
        yield allowed(session_of(server).declarations(), server)
        close_sessions()
        return
    port = free_port()
    environment = {**os.environ, "PORT": str(port)}
    process = subprocess.Popen(
        [node, index, "streamableHttp"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for_port(port, process)
        server = McpServer(url=f"http://127.0.0.1:{port}/mcp", **told)  # type: ignore[arg-type]
        yield allowed(session_of(server).declarations(), server)
        close_sessions()
    finally:
        process.kill()
        process.wait()


def test_its_tools_are_asked_with_named_arguments(declared: list[McpDeclaration]) -> None:
    tools = {told.tool: make_mcp_tool(told, told.tool.title().replace("-", ""))() for told in declared}
    assert declared[0].server_version.startswith("mcp-servers/everything ")
    executor = ToolExecutor({tool.name: tool for tool in tools.values()})
    calls = [
        ("GetSum", "a=400, b=1000.5", None),
        ("Echo", '"[to be] or\\nnot"', None),
        ("GetTinyImage", "", None),
        ("GetSum", 'a="x", b=1', None),
    ]
    outcomes = executor.run(calls)
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "ok", "bad_input"]
    assert outcomes[0].result == "The sum of 400 and 1000.5 is 1400.5."
    assert outcomes[1].result == "Echo: (to be) or not"
    assert "(image)" in str(outcomes[2].result)
