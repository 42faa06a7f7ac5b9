"""A checked request becomes a body or a stream: texts are submitted to the decoder's thread and told as they come.

It knows the decoder and nothing of HTTP or Ray. Whoever closes a stream, or cancels an answer, cancels its texts.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.jobs.decoding.metrics import Tally
from toolformer_ray.jobs.decoding.protocol.errors import BadRequest, error_body
from toolformer_ray.jobs.decoding.protocol.request import TextsRequest

if TYPE_CHECKING:
    from toolformer_ray.decode.request import DecodeRequest
    from toolformer_ray.decode.service import DecodingService

LONG_PROMPT = 10_000
"""Characters or ids from which on a prompt is encoded in a thread of its own: it takes milliseconds."""


class Reply(Protocol):
    """How texts are told; each endpoint has its own."""

    def first_chunk(self, index: int) -> dict[str, Any] | None: ...
    def chunk(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]: ...
    def last_chunk(self, index: int, answer: Completion) -> dict[str, Any]: ...
    def usage_chunk(self, answers: Sequence[Completion], num_samples: int) -> dict[str, Any]: ...
    def body(self, answers: Sequence[Completion], num_samples: int) -> dict[str, Any]: ...


class Answering:
    """The texts of all requests of one replica."""

    def __init__(self, service: "DecodingService", tally: Tally) -> None:
        self._service, self._tally = service, tally

    async def answer(self, asked: TextsRequest, reply: Reply) -> dict[str, Any]:
        """The whole answer. Raises BadRequest for prompts that cannot be gone on from, else as the decoder."""
        events = self._events(asked)
        answers = {index: said async for index, said in events if isinstance(said, Completion)}
        return reply.body([answers[index] for index in range(len(answers))], asked.num_samples)

    async def stream(self, asked: TextsRequest, reply: Reply) -> AsyncIterator[str]:
        """Server-sent events. What is wrong with a prompt is raised before the first; later errors are events."""
        has_begun = False
        try:
            async with contextlib.aclosing(self._chunks(asked, reply)) as chunks:
                async for chunk in chunks:
                    has_begun = True
                    yield _event(chunk)
        except Exception as error:
            if not has_begun:
                raise
            yield _event(error.body() if isinstance(error, BadRequest) else error_body(str(error)))
        else:
            yield "data: [DONE]\n\n"

    async def _chunks(self, asked: TextsRequest, reply: Reply) -> AsyncGenerator[dict[str, Any]]:
        answers: dict[int, Completion] = {}
        firsts = [reply.first_chunk(index) for index in range(len(asked.each_prompt()))]
        async with contextlib.aclosing(self._events(asked)) as events:
            async for index, said in events:
                for first in firsts:
                    if first is not None:
                        yield first
                firsts = []
                if isinstance(said, Completion):
                    answers[index] = said
                    yield reply.last_chunk(index, said)
                else:
                    yield reply.chunk(index, said)
        if asked.tells_usage:
            yield reply.usage_chunk([answers[index] for index in range(len(answers))], asked.num_samples)

    async def _events(self, asked: TextsRequest) -> AsyncGenerator[tuple[int, Sequence[Piece] | Completion]]:
        """(index of a text, its next pieces or, last, its completion). Pieces are told only for a stream."""
        requests = asked.make()
        await self._read_long(requests, asked)
        loop, events = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Any]]()

        def tell(index: int) -> Callable[[Any], None]:
            def told(said: Any) -> None:
                loop.call_soon_threadsafe(events.put_nowait, (index, said))

            return told

        running: dict[int, DecodeRequest] = {}
        try:
            for index, request in enumerate(requests):
                request.on_pieces, request.on_end = tell(index) if asked.is_streamed else None, tell(index)
                self._service.submit(request)
                running[index] = request
            while running:
                index, said = await events.get()
                if isinstance(said, Exception):
                    del running[index]
                    raise _explained(said, asked)
                if isinstance(said, Completion):
                    del running[index]
                    self._tally.add_text(said, counts_prompt=index % asked.num_samples == 0)
                yield index, said
        finally:
            self._cancel(running)

    async def _read_long(self, requests: Sequence["DecodeRequest"], asked: TextsRequest) -> None:
        """Encode long prompts here, so that the thread that writes all texts need not."""
        for request in requests:
            if len(request.prompt) >= LONG_PROMPT:
                try:
                    await asyncio.to_thread(self._service.read, request)
                except ValueError as error:
                    raise _explained(error, asked) from error

    def _cancel(self, running: Mapping[int, "DecodeRequest"]) -> None:
        for request in running.values():
            self._service.cancel(request)


def _explained(error: Exception, asked: TextsRequest) -> Exception:
    """What the decoder refuses is the client's to change."""
    if not isinstance(error, ValueError):
        return error
    # A prompt is shown in the message, and JSON can spell what no reply can hold.
    return BadRequest(str(error).encode("utf-8", "replace").decode(), param=asked.prompt_field)


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
