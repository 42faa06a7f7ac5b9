"""The one session of a process with an MCP server, for threads: it begins when it is needed and again when it breaks.

One event loop in a daemon thread serves all servers of the process. A call waits while a server that has ended is
started again, with a growing delay between two starts, for half of its time limit; then it is Unavailable, which
`tools.asking` repeats: with its defaults a server may be away for 20 seconds and no call is lost. A server that lets
several calls in a row go without an answer is left and started again.
"""

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import logging
import threading
from collections.abc import Mapping
from typing import Any

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.servers.mcp_connection import Connection, StartError
from toolformer_ray.tools.servers.mcp_listing import McpDeclaration
from toolformer_ray.tools.servers.server_file import McpServer
from toolformer_ray.tools.tool import BadInput, Unavailable

FIRST_DELAY = 0.1
LONGEST_DELAY = 15.0
"""Seconds between two starts of a server that does not answer."""
MOST_SILENT = 3
"""After so many calls in a row without an answer in time a server is started again."""
SECONDS_OVER = 0.5
"""So much longer than its time limit a request stays open: what asks tools ends the call itself, at the limit."""
logger = logging.getLogger(__name__)


@functools.cache
def _event_loop() -> asyncio.AbstractEventLoop:
    if importlib.util.find_spec("mcp") is None:
        raise UnusableError(
            "tools of MCP servers need the package mcp, which is not installed; install it: "
            "pip install 'toolformer-ray[mcp]'"
        )
    # The SDK logs each message that it cannot read, with its traceback; a server could fill a disk with that.
    for name in ("mcp", "client", "httpx2"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="MCP sessions", daemon=True).start()
    return loop


class McpSession:
    """All methods may be called by several threads at once."""

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._connection: Connection | None = None
        self._num_starts = 0
        """Since the last answer."""
        self._next_start = 0.0
        self._num_silent = 0
        self._changed: set[str] = set()

    def declarations(self) -> list[McpDeclaration]:
        """What the server tells of its tools. Raises UnusableError if it cannot be reached."""
        return asyncio.run_coroutine_threadsafe(self._declarations(), _event_loop()).result()

    def begin(self) -> None:
        """Wait until the server is ready, for as long as its start may take; what goes wrong is in the log."""
        try:
            asyncio.run_coroutine_threadsafe(self._connected(self._server.start_timeout), _event_loop()).result()
        except Unavailable as error:
            logger.warning("%s; it is tried again when it is asked", error)

    def call(self, declared: McpDeclaration, arguments: Mapping[str, Any], timeout: float) -> Any:
        """The SDK's result of a call.

        Raises Unavailable if the server cannot be reached or is another one than was declared, BadInput for arguments
        that it refuses, and RuntimeError for an answer that cannot be read.
        """
        return asyncio.run_coroutine_threadsafe(self._call(declared, arguments, timeout), _event_loop()).result()

    def close(self) -> None:
        """End the session; the next call begins another."""
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._close(), _event_loop()).result(timeout=5.0)

    async def _declarations(self) -> list[McpDeclaration]:
        if self._connection is None or self._connection.is_retired:
            self._connection = Connection(self._server)
        try:
            await self._connection.list_again()
        except StartError as error:
            raise UnusableError(f"{self._server.where} cannot be used: {error}") from None
        return list(self._connection.listing.values())

    async def _close(self) -> None:
        if self._connection is not None:
            await self._connection.end()

    async def _call(self, declared: McpDeclaration, arguments: Mapping[str, Any], timeout: float) -> Any:
        from mcp.shared.exceptions import MCPError

        connection = await self._connected(timeout / 2)
        self._check_unchanged(connection, declared)
        loop, limit = asyncio.get_running_loop(), timeout + SECONDS_OVER
        started = loop.time()
        try:
            result = await connection.request(declared.tool, arguments, limit)
        except MCPError as error:
            is_late = loop.time() - started >= limit
            raise self._failure(connection, error.error.code, error.error.message, is_late=is_late) from None
        except ValueError:
            # Not `from` it: the message of the error holds the answer.
            raise RuntimeError(f"mcp:{self._server.name} answers what is no result of a tool") from None
        except Exception as error:  # noqa: BLE001  the library below raises many kinds when a connection breaks
            connection.retire()
            raise self._unavailable(type(error).__name__) from None
        self._num_starts = self._num_silent = 0
        return result

    async def _connected(self, seconds: float) -> Connection:
        reason = "it did not start in time"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    connection = await self._latest()
                    try:
                        await asyncio.shield(connection.ready)
                    except StartError as error:
                        reason = str(error)
                    else:
                        return connection
        except TimeoutError:
            raise self._unavailable(reason) from None

    async def _latest(self) -> Connection:
        """The connection that lives, or the next one, when it may begin."""
        loop = asyncio.get_running_loop()
        while self._connection is None or self._connection.is_retired:
            if (delay := self._next_start - loop.time()) > 0:
                await asyncio.sleep(delay)
                continue
            self._next_start = loop.time() + min(LONGEST_DELAY, FIRST_DELAY * 2**self._num_starts)
            self._num_starts, self._num_silent = min(self._num_starts + 1, 30), 0
            if self._connection is not None:
                logger.info("mcp:%s is started again", self._server.name)
            self._connection = Connection(self._server)
        return self._connection

    def _check_unchanged(self, connection: Connection, declared: McpDeclaration) -> None:
        now = connection.listing.get(declared.tool)
        if now is not None and now.version == declared.version:
            return
        if declared.tool not in self._changed:
            self._changed.add(declared.tool)
            logger.warning(
                "mcp:%s: %s is not what it was when the run was begun (%s, now %s); it is not asked",
                *(self._server.name, declared.tool, declared.server_version),
                now.server_version if now else "not there",
            )
        connection.retire()
        raise self._unavailable("the server, its version or the tool's schema has changed since the run was begun")

    def _failure(self, connection: Connection, code: int, said: str, *, is_late: bool) -> Exception:
        from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, PARSE_ERROR

        told = connection.clean(said)
        if is_late:
            self._num_silent += 1
            if self._num_silent >= MOST_SILENT:
                connection.retire()
            return self._unavailable("no answer in time")
        self._num_silent = 0
        if code == INVALID_PARAMS:
            return BadInput(told)
        if code in (INTERNAL_ERROR, PARSE_ERROR):
            return RuntimeError(f"mcp:{self._server.name}: {told}")
        connection.retire()
        return self._unavailable(told)

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(f"mcp:{self._server.name}: {reason}")


_sessions: dict[str, McpSession] = {}
_lock = threading.Lock()


def session_of(server: McpServer) -> McpSession:
    """The session of this process with a server, shared by all tools of the server."""
    with _lock:
        return _sessions.setdefault(repr(server), McpSession(server))


@atexit.register
def close_sessions() -> None:
    """End all sessions, so that no program is left behind."""
    with _lock:
        sessions = list(_sessions.values())
        _sessions.clear()
    for session in sessions:
        session.close()
