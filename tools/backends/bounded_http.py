"""HTTP that neither the size nor the slowness of an answer can hurt: it is read up to a limit, within a time limit."""

import time
from collections.abc import Iterator
from typing import cast

import httpx2


def open_client(*, max_bytes: int, timeout: float) -> httpx2.Client:
    """A client whose answers end after `max_bytes`, errors included, and raise ReadTimeout after `timeout` seconds.

    Redirects are not followed: where a request goes is the user's choice, not the server's. Compression is neither
    asked for nor undone, since a thousand bytes can unpack to a million.
    """

    def bound(response: httpx2.Response) -> None:
        deadline = time.monotonic() + timeout
        response.stream = _BoundedStream(cast(httpx2.SyncByteStream, response.stream), max_bytes, deadline)
        response.headers.pop("Content-Encoding", None)

    return httpx2.Client(
        timeout=timeout,
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [bound]},
    )


class _BoundedStream(httpx2.SyncByteStream):
    """The first `max_bytes` of a stream; what comes after them is never read."""

    def __init__(self, stream: httpx2.SyncByteStream, max_bytes: int, deadline: float) -> None:
        self._stream, self._bytes_left, self._deadline = stream, max_bytes, deadline

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the answer takes longer than a call may")
            yield chunk[: self._bytes_left]
            self._bytes_left -= len(chunk)
            if self._bytes_left <= 0:
                return

    def close(self) -> None:
        self._stream.close()
