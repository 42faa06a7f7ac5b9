"""What comes from an MCP server over HTTP is bounded: in bytes, in time by the caller, and to what was asked for."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import httpx2

MAX_MESSAGE_BYTES = 1024 * 1024
"""An answer with more bytes is not read."""
_NO_ANSWER = frozenset({401, 403, 407, 429, 502, 503, 504})
"""Statuses of a server that cannot be asked, now or with this key: no matter of the call."""


class AnswerTooLongError(httpx2.StreamError):
    """The body has more bytes than are read."""

    def __init__(self) -> None:
        super().__init__(f"the answer is longer than {MAX_MESSAGE_BYTES} bytes")


def open_mcp_client(headers: Mapping[str, str], timeout: float) -> httpx2.AsyncClient:
    """A client for the SDK's transport, which follows redirects within the URL's own origin at most."""
    return httpx2.AsyncClient(
        transport=_BoundedTransport(httpx2.AsyncHTTPTransport()),
        headers={**headers, "Accept-Encoding": "identity"},
        # How long a call may take is its caller's matter.
        timeout=httpx2.Timeout(None, connect=timeout),
        follow_redirects=False,
    )


class _BoundedTransport(httpx2.AsyncBaseTransport):
    """Sends requests on, and refuses the stream on which a server could talk without being asked."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(405, request=request)
        response = await self._transport.handle_async_request(request)
        if response.status_code in _NO_ANSWER:
            await response.aclose()
            raise httpx2.RemoteProtocolError(f"the server answers with HTTP status {response.status_code}")
        response.stream = _BoundedStream(cast(httpx2.AsyncByteStream, response.stream))
        response.headers.pop("Content-Encoding", None)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        num_bytes = 0
        async for chunk in self._stream:
            num_bytes += len(chunk)
            if num_bytes > MAX_MESSAGE_BYTES:
                raise AnswerTooLongError
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def transport_of(url: str, client: httpx2.AsyncClient) -> Any:
    """The SDK's transport over streamable HTTP."""
    from mcp.client.streamable_http import streamable_http_client

    return streamable_http_client(url, http_client=client, max_sse_event_size=MAX_MESSAGE_BYTES)
