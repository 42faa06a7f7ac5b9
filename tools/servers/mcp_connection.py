"""One life of a session with an MCP server: from the start of its program, or the first request, to its end.

All of this runs on one event loop; the SDK's client is entered and left by one task, as its scopes demand.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.errors import OptionError, explain
from toolformer_ray.tools.servers import from_environment
from toolformer_ray.tools.servers.mcp_http import open_mcp_client, transport_of
from toolformer_ray.tools.servers.mcp_listing import McpDeclaration, list_tools
from toolformer_ray.tools.servers.mcp_pipe import open_pipe, program
from toolformer_ray.tools.servers.server_file import McpServer

MAX_SAID_CHARS = 300
logger = logging.getLogger(__name__)


class StartError(RuntimeError):
    """The session could not be begun; the message says why in one line."""


class Connection:
    """Begins when it is made. `ready` has the SDK's session, or StartError."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._end = asyncio.Event()
        self._num_calls = 0
        self._said_at_start = ""
        self.is_retired = False
        """Whether no further call should be made: it has ended, or will when its calls have."""
        self.listing: Mapping[str, McpDeclaration] = {}
        """The server's tools by its names, once it is ready."""
        self.ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # An error that no call waits for is in `ready` all the same, and not to be told of as never retrieved.
        self.ready.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._task = asyncio.create_task(self._live())

    def retire(self) -> None:
        """Make no further call, and end when no call is open."""
        self.is_retired = True
        if not self._num_calls:
            self._end.set()

    async def end(self) -> None:
        """End now."""
        self.is_retired = True
        self._end.set()
        await asyncio.wait([self._task])

    async def list_again(self) -> None:
        """Ask for the tools if they were not asked for just now. Raises StartError if that fails."""
        is_fresh = not self.ready.done()
        session = await self.ready
        if is_fresh:
            return
        try:
            async with asyncio.timeout(self._server.start_timeout):
                self.listing = await list_tools(session, self._server)
        except Exception as error:  # noqa: BLE001  a server may break in any way
            self.retire()
            raise StartError(self._told(error)) from None

    async def request(self, tool: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """The SDK's result of a call. Raises what the SDK raises."""
        from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult

        self._num_calls += 1
        try:
            session = await self.ready
            params = CallToolRequestParams(name=tool, arguments=dict(arguments))
            # Not `call_tool`, which reads the answer by a schema of the server's; such a schema can be made to be
            # slow, and no part of the answer that is read is told by it.
            return await session.send_request(CallToolRequest(params=params), CallToolResult, timeout)
        finally:
            self._num_calls -= 1
            if self.is_retired and not self._num_calls:
                self._end.set()

    async def _live(self) -> None:
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._server.start_timeout):
                    client = await self._open(stack)
                    self.listing = await list_tools(client.session, self._server)
                self.ready.set_result(client.session)
                await self._end.wait()
        except TimeoutError:
            self._fail(f"it was not ready in {self._server.start_timeout:g} seconds")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  a server may break in any way; the next life is tried
            self._fail(self._told(error))
        finally:
            self.is_retired = True
            self._fail("it ended")

    async def _open(self, stack: contextlib.AsyncExitStack) -> Any:
        from mcp import Client

        server = self._server
        if server.url is not None:
            headers = from_environment.resolve_all(server.headers, f"{server.where}.headers")
            http = await stack.enter_async_context(open_mcp_client(headers, server.start_timeout))
            transport = transport_of(server.url, http)
        else:
            where = f"{server.where}.environment"
            environment = {name: from_environment.variable(name, where) for name in server.environment}
            command_line = program(server.command or "", server.args, server.where)
            transport = open_pipe(command_line, environment, say=self._say, note_end=self._note_end)
        return await stack.enter_async_context(Client(transport))

    def _note_end(self) -> None:
        self.is_retired = True
        self._end.set()

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_exception(StartError(reason + self._said_at_start))

    def _say(self, said: str) -> None:
        line = self.clean(said)
        if not self.ready.done() and not self._said_at_start:
            self._said_at_start = f"; it {line}"
        logger.info("mcp:%s %s", self._server.name, line)

    def clean(self, said: str) -> str:
        """What a server says as a line without secrets."""
        hidden = from_environment.secrets(self._server.headers.values())
        named = from_environment.secrets(f"${{{name}}}" for name in self._server.environment if _is_secret(name))
        return clean_result(from_environment.without(said, (*hidden, *named)), MAX_SAID_CHARS)

    def _told(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, OptionError | asyncio.CancelledError):
            return str(error) or "it ended"
        return self.clean(explain(error))


def _is_secret(variable: str) -> bool:
    """Whether a variable that a program is given may hold a secret: paths and the like stand in what it logs."""
    return variable not in {"PATH", "HOME", "USER", "LANG", "SHELL", "TERM", "TMPDIR"}
