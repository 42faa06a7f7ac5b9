"""An HTTP client that reads answers only up to a size limit and a time limit."""

import time
from collections.abc import Iterator
from typing import cast

import httpx2


def open_client(*, max_bytes: int, timeout: float) -> httpx2.Client:
    """A client that cuts answers, errors included, after `max_bytes` and raises ReadTimeout after `timeout` seconds.

    It follows no redirects, because the user decides where requests go, not the server. It neither asks for
    compression nor undoes it, because a thousand bytes can unpack to a million.
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
    """The first `max_bytes` of a stream; the rest is never read."""

    def __init__(self, stream: httpx2.SyncByteStream, max_bytes: int, deadline: float) -> None:
        self._stream, self._bytes_left, self._deadline = stream, max_bytes, deadline

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout("the answer takes longer than the time limit")
            yield chunk[: self._bytes_left]
            self._bytes_left -= len(chunk)
            if self._bytes_left <= 0:
                return

    def close(self) -> None:
        self._stream.close()
