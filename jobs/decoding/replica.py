"""One replica of `toolformer serve`: HTTP requests in, completions out; one thread writes all texts."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.jobs.decoding.completions import (
    BadRequest,
    CompletionRequest,
    Reply,
    model_body,
    models_body,
    read_request,
)
from toolformer_ray.jobs.decoding.decoder import DecoderOptions, open_decoder

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from toolformer_ray.decode.decoder import DecodeRequest


class Replica:
    """One process that answers; Ray Serve calls it for every HTTP request."""

    def __init__(self, options: DecoderOptions, barred: Sequence[str], name: str, folder: str) -> None:
        """Load the model and open the tools.

        `barred`: names of tools that no text may ask. `name`: what clients call the model. `folder`: where the command
        was typed, so that relative paths, of the model or of an index, mean the same here.
        """
        from toolformer_ray.decode.service import DecodingService

        with contextlib.suppress(OSError):
            os.chdir(folder)
        self._name, self._created = name, int(time.time())
        self._service = DecodingService(open_decoder(options, barred))

    def check_health(self) -> None:
        """Ray Serve replaces a replica whose decoder has failed."""
        if not self._service.is_alive:
            raise RuntimeError("the decoder has ended")

    async def __call__(self, request: "Request") -> "Response":
        """One HTTP request."""
        from starlette.responses import JSONResponse, StreamingResponse

        try:
            match request.method, request.url.path.rstrip("/"):
                case "POST", "/v1/completions":
                    asked = await _read(request, self._name)
                    if asked.is_streamed:
                        stream = self._stream(asked)
                        # Waiting for the first event finds what is wrong with a prompt before the status is sent.
                        first = await anext(stream)
                        return StreamingResponse(_chain(first, stream), media_type="text/event-stream")
                    return JSONResponse(await self._answer(asked))
                case "GET", "/v1/models":
                    return JSONResponse(models_body(self._name, self._created))
                case "GET", path if path == f"/v1/models/{self._name}":
                    return JSONResponse(model_body(self._name, self._created))
            raise BadRequest(f"there is no {request.method} {request.url.path} here", status=404)
        except BadRequest as error:
            return JSONResponse(error.body(), status_code=error.status)

    async def _answer(self, asked: CompletionRequest) -> dict[str, Any]:
        answers = {index: said async for index, said in self._events(asked) if isinstance(said, Completion)}
        return Reply(self._name).body([answers[index] for index in range(len(asked.prompts))])

    async def _stream(self, asked: CompletionRequest) -> AsyncIterator[str]:
        reply, answers = Reply(self._name), []
        async for index, said in self._events(asked):
            if isinstance(said, Completion):
                answers.append(said)
                yield _event(reply.last_chunk(index, said))
            else:
                yield _event(reply.chunk(index, said))
        if asked.tells_usage:
            yield _event(reply.usage_chunk(answers))
        yield "data: [DONE]\n\n"

    async def _events(self, asked: CompletionRequest) -> AsyncIterator[tuple[int, Sequence[Piece] | Completion]]:
        """(index of a prompt, its next pieces or, last, its completion). Raises BadRequest. Closing it cancels all."""
        from toolformer_ray.decode.decoder import DecodeRequest

        loop, events = asyncio.get_running_loop(), asyncio.Queue[tuple[int, Any]]()

        def tell(index: int, said: Any) -> None:
            loop.call_soon_threadsafe(events.put_nowait, (index, said))

        def ask(index: int, prompt: str) -> "DecodeRequest":
            one = DecodeRequest(prompt, asked.options, lambda said: tell(index, said), lambda said: tell(index, said))
            self._service.submit(one)
            return one

        running = {index: ask(index, prompt) for index, prompt in enumerate(asked.prompts)}
        try:
            while running:
                index, said = await events.get()
                if isinstance(said, Exception):
                    del running[index]
                    raise BadRequest(str(said), param="prompt") if isinstance(said, ValueError) else said
                if isinstance(said, Completion):
                    del running[index]
                yield index, said
        finally:
            for one in running.values():
                self._service.cancel(one)


async def _read(request: "Request", name: str) -> CompletionRequest:
    try:
        return read_request(await request.json(), name)
    except BadRequest:
        raise
    except RecursionError as error:
        raise BadRequest("the body is nested too deep") from error
    except ValueError as error:
        raise BadRequest("the body is no JSON") from error


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async for event in rest:
        yield event
