"""Lines of a program's stdout, and what they are as messages; of one that is too long, only its ends are kept."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import jiter

MAX_MESSAGE_BYTES = 1024 * 1024
"""A longer message is not read."""
MAX_SKIPPED_BYTES = 64 * 1024 * 1024
"""A message may be so long until its line ends; the rest of a longer one is not waited for."""
CHUNK = 64 * 1024
ENDS_SEEN = 256
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18})\b')


class TalkativeServerError(RuntimeError):
    """The server says so much that nothing was asked for that it is left."""


class TooLong:
    """A line that was not kept: its length, its beginning and its end."""

    def __init__(self, beginning: bytes) -> None:
        self._beginning, self._end, self.num_bytes = beginning[:ENDS_SEEN], beginning[-ENDS_SEEN:], len(beginning)

    def skip(self, more: bytes) -> None:
        """Count what goes on with the line. Raises TalkativeServerError if that is without end."""
        self._end, self.num_bytes = (self._end + more)[-ENDS_SEEN:], self.num_bytes + len(more)
        if self.num_bytes > MAX_SKIPPED_BYTES:
            raise TalkativeServerError(f"a message of it has more than {MAX_SKIPPED_BYTES} bytes")

    def answered(self, open_ids: set[int | str]) -> int | str | None:
        """The open request that it seems to answer: servers write the number first or last."""
        found = [int(match[1]) for part in (self._beginning, self._end) for match in _ID.finditer(part)]
        return next((number for number in found if number in open_ids), None)


async def read_lines(stdout: asyncio.StreamReader | None) -> "AsyncIterator[bytes | TooLong]":
    """The lines of a stream, without empty ones."""
    kept, too_long = bytearray(), None
    while stdout is not None and (chunk := await stdout.read(CHUNK)):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            if too_long is not None:
                too_long.skip(part)
                yield too_long
            elif line := bytes(kept + part).strip():
                yield line
            kept, too_long = bytearray(), None
        if too_long is not None:
            too_long.skip(rest)
            continue
        kept += rest
        if len(kept) > MAX_MESSAGE_BYTES:
            kept, too_long = bytearray(), TooLong(bytes(kept))


def answered_by(message: Mapping[str, Any], open_ids: set[int | str]) -> int | str | None:
    """The open request that a message answers, if it does."""
    number = message.get("id")
    is_answer = "method" not in message and isinstance(number, int | str) and not isinstance(number, bool)
    return number if is_answer and number in open_ids else None


def fields_of(line: bytes) -> dict[str, Any]:
    """The fields of a message; none if the line is no JSON object."""
    try:
        message = jiter.from_json(line, cache_mode="none")
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
