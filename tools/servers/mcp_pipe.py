"""An MCP server that is a program: messages are lines on its stdin and stdout, what it logs comes from its stderr.

The SDK's own transport of this kind is not used, since it keeps a line of any length in memory, gives the program HOME
and other variables that nobody named, and logs whatever it cannot read. Here only answers to open requests are passed
on, what the server asks in its turn is declined, a longer answer than MAX_MESSAGE_BYTES costs the call that asked for
it, and a server that says too much without being asked is left.

The program ends when its stdin closes, as the protocol has it, and is killed if it does not. On Linux it is also killed
when the process that started it dies, whatever of; programs that it has started in turn only see their pipes close.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.servers.mcp_lines import (
    CHUNK,
    ENDS_SEEN,
    MAX_MESSAGE_BYTES,
    TalkativeServerError,
    TooLong,
    answered_by,
    fields_of,
    read_lines,
)

MAX_UNASKED_BYTES = 4 * 1024 * 1024
"""So much may come between two answers that answers nothing; each message counts at least UNASKED_MESSAGE_BYTES."""
UNASKED_MESSAGE_BYTES = 1024
MAX_LOGGED_LINES = 20
MAX_LOGGED_CHARS = 200
SECONDS_TO_END = 1.0
"""After its stdin has closed; then the program and those that it has started are killed."""


def program(command: str, args: Sequence[str], where: str) -> list[str]:
    """The command line of a server's program. Raises UnusableError if there is no such program."""
    found = shutil.which(command)
    if found is None:
        raise UnusableError(f"{where}.command is {command!r}; there is no such program")
    # A process that is killed cannot end its children; the kernel can.
    guard = shutil.which("setpriv") if sys.platform == "linux" else None
    return [*([guard, "--pdeathsig", "KILL", "--"] if guard else []), found, *args]


@contextlib.asynccontextmanager
async def open_pipe(
    command_line: Sequence[str],
    environment: Mapping[str, str],
    *,
    say: Callable[[str], None],
    note_end: Callable[[], None],
) -> AsyncIterator[tuple[Any, Any]]:
    """Start the program; gives the streams of messages that the SDK's client reads and writes.

    `say` is given some lines of what the program logs, `note_end` is called when nothing more will come from it.
    """
    import anyio

    process = await asyncio.create_subprocess_exec(
        *command_line,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    inbound, read_stream = anyio.create_memory_object_stream[Any](0)
    write_stream, outbound = anyio.create_memory_object_stream[Any](0)
    reader = _Messages(process, inbound, say)
    reading = asyncio.create_task(reader.read())
    reading.add_done_callback(lambda _: note_end())
    tasks = [reading, asyncio.create_task(_write(process, outbound, reader)), asyncio.create_task(_log(process, say))]
    try:
        yield read_stream, write_stream
    finally:
        await _end(process)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (inbound, read_stream, write_stream, outbound):
            stream.close()


class _Messages:
    """What comes from the server, sorted into answers, requests, and what nobody asked for."""

    def __init__(self, process: asyncio.subprocess.Process, inbound: Any, say: Callable[[str], None]) -> None:
        self._process, self._inbound, self._say = process, inbound, say
        self.open_ids: set[int | str] = set()
        self._num_unasked_bytes = 0

    async def read(self) -> None:
        """Pass messages on until the server's stdout ends, or the server says too much."""
        try:
            async for line in read_lines(self._process.stdout):
                await self._take(line)
        except TalkativeServerError as error:
            self._say(f"is left: {error}")
        finally:
            # The client takes the end of this stream for the end of the server.
            self._inbound.close()

    async def _take(self, line: "bytes | TooLong") -> None:
        from mcp.shared.message import SessionMessage
        from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

        fields = {} if isinstance(line, TooLong) else fields_of(line)
        number = line.answered(self.open_ids) if isinstance(line, TooLong) else answered_by(fields, self.open_ids)
        if number is None:
            self._note_unasked(line.num_bytes if isinstance(line, TooLong) else len(line))
            self._decline(fields)
            return
        fault = f"the answer is longer than {MAX_MESSAGE_BYTES} bytes"
        try:
            if not isinstance(line, TooLong):
                fault = "the answer is no message of the protocol"
                await self._pass_on(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)), number)
                return
        except ValueError:
            pass
        error = ErrorData(code=INTERNAL_ERROR, message=fault)
        message = JSONRPCError(jsonrpc="2.0", id=number, error=error)
        await self._pass_on(SessionMessage(message), number)

    async def _pass_on(self, message: Any, answered: int | str) -> None:
        import anyio

        self._num_unasked_bytes = 0
        self.open_ids.discard(answered)
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._inbound.send(message)

    def _decline(self, fields: Mapping[str, Any]) -> None:
        """Answer what the server asks: that it is heard, and nothing else. One that does not read gets no answer."""
        number, method, stdin = fields.get("id"), fields.get("method"), self._process.stdin
        if not isinstance(method, str) or not isinstance(number, int | str) or stdin is None:
            return
        if stdin.transport.get_write_buffer_size() > CHUNK or len(str(number)) > ENDS_SEEN:
            return
        error = {"code": -32601, "message": "Method not found"}
        said = {"result": {}} if method == "ping" else {"error": error}
        with contextlib.suppress(OSError, RuntimeError):
            stdin.write(json.dumps({"jsonrpc": "2.0", "id": number, **said}).encode() + b"\n")

    def _note_unasked(self, num_bytes: int) -> None:
        self._num_unasked_bytes += max(num_bytes, UNASKED_MESSAGE_BYTES)
        if self._num_unasked_bytes > MAX_UNASKED_BYTES:
            raise TalkativeServerError(f"it has sent {self._num_unasked_bytes} bytes that nothing asked for")


async def _write(process: asyncio.subprocess.Process, outbound: Any, reader: _Messages) -> None:
    async for sent in outbound:
        message = sent.message
        if hasattr(message, "method") and getattr(message, "id", None) is not None:
            reader.open_ids.add(message.id)
        if process.stdin is None:
            return
        try:
            process.stdin.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await process.stdin.drain()
        except (OSError, RuntimeError):
            return


async def _log(process: asyncio.subprocess.Process, say: Callable[[str], None]) -> None:
    """The first lines of the server's stderr are told; all of it is read, or the server would stand still."""
    num_lines, rest = 0, b""
    while process.stderr is not None and (chunk := await process.stderr.read(CHUNK)):
        if num_lines >= MAX_LOGGED_LINES:
            continue
        *ended, rest = (rest + chunk).split(b"\n")
        for line in ended[: MAX_LOGGED_LINES - num_lines]:
            say(f"logs: {line[: 4 * MAX_LOGGED_CHARS].decode('utf-8', 'replace')}")
        num_lines += len(ended)
        rest = rest[: 4 * MAX_LOGGED_CHARS]
        if num_lines >= MAX_LOGGED_LINES:
            say("logs more, which is left out")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), SECONDS_TO_END)
    # Programs that it has started are in its group and may have outlived it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), SECONDS_TO_END)
