"""One replica of `toolformer serve`: HTTP requests in, texts out; one thread writes all texts."""

import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolformer_ray.jobs.decoding.access import check_key
from toolformer_ray.jobs.decoding.answering import Answering, Reply
from toolformer_ray.jobs.decoding.decoder import DecoderOptions, open_decoder
from toolformer_ray.jobs.decoding.metrics import Tally
from toolformer_ray.jobs.decoding.protocol.chat import ChatReply, plain_conversation, read_chat
from toolformer_ray.jobs.decoding.protocol.completions import CompletionReply, read_completion
from toolformer_ray.jobs.decoding.protocol.errors import BadRequest, error_body
from toolformer_ray.jobs.decoding.protocol.fields import parse_object
from toolformer_ray.jobs.decoding.protocol.reply import Head, model_body, models_body
from toolformer_ray.jobs.decoding.protocol.request import TextsRequest
from toolformer_ray.jobs.decoding.reporting import Reporter

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle
    from starlette.requests import Request
    from starlette.responses import Response

    from toolformer_ray.decode.request import Prompt
    from toolformer_ray.lm.requests import Message

MOST_BYTES = 4 << 20
"""Of a body; a window of a million tokens has about as many."""
COMPLETIONS, CHAT, METRICS, MODELS = "/v1/completions", "/v1/chat/completions", "/metrics", "/v1/models"


@dataclass(frozen=True, kw_only=True)
class Served:
    """What replicas know of the server that they belong to."""

    name: str
    """What clients call the model."""
    barred: Sequence[str]
    """Names of tools that no text may ask."""
    folder: str
    """Where the command was typed, so that relative paths, of the model or of an index, mean the same here."""
    key_hash: str | None
    """Of the API key; None if none is asked for."""


class Replica:
    """One process that answers; Ray Serve calls it for every HTTP request."""

    def __init__(self, options: DecoderOptions, served: Served, monitor: "DeploymentHandle") -> None:
        """Load the model and open the tools."""
        from toolformer_ray.decode.service import DecodingService

        with contextlib.suppress(OSError):
            os.chdir(served.folder)
        self._served, self._created = served, int(time.time())
        decoder = open_decoder(options, served.barred)
        self._template = decoder.model.tokenizer.chat_template
        self._decode = decoder.model.tokenizer.decode
        self._service = DecodingService(decoder)
        self._tally = Tally(decoder.tool_names)
        self._answering = Answering(self._service, self._tally)
        self._reporter = Reporter(uuid.uuid4().hex, self._tally, _Remote(monitor))

    def check_health(self) -> None:
        """Ray Serve replaces a replica whose decoder has failed."""
        if not self._service.is_alive:
            raise RuntimeError("the decoder has ended")

    async def __call__(self, request: "Request") -> "Response":
        """One HTTP request."""
        from starlette.responses import JSONResponse, StreamingResponse

        started, path = time.monotonic(), request.url.path.rstrip("/")
        try:
            check_key(self._served.key_hash, request.headers.get("authorization"))
            answer = await self._respond(request, path)
        except BadRequest as error:
            answer = JSONResponse(error.body(), status_code=error.status)
        except RuntimeError as error:
            answer = JSONResponse(error_body(str(error)), status_code=503)
        if answer.status_code == 401:
            answer.headers["www-authenticate"] = "Bearer"
        if isinstance(answer, StreamingResponse):
            answer.body_iterator = self._counted(answer.body_iterator, path, started)
        else:
            self._count(path, answer.status_code, started)
        return answer

    async def _respond(self, request: "Request", path: str) -> "Response":
        from starlette.responses import JSONResponse, PlainTextResponse

        name = self._served.name
        match request.method, path:
            case "POST", "/v1/completions":
                asked = read_completion(parse_object(await _read_body(request)), name)
                echoes = [self._echo(prompt) if asked.is_echoed else "" for prompt in asked.each_prompt()]
                return await self._tell(asked, CompletionReply(Head(name, "cmpl", "text_completion"), echoes))
            case "POST", "/v1/chat/completions":
                asked = read_chat(parse_object(await _read_body(request)), name, self._render)
                kind = "chat.completion.chunk" if asked.is_streamed else "chat.completion"
                return await self._tell(asked, ChatReply(Head(name, "chatcmpl", kind)))
            case "GET", "/metrics":
                return PlainTextResponse(await self._reporter.page(), media_type="text/plain; version=0.0.4")
            case "GET", "/v1/models":
                return JSONResponse(models_body(name, self._created))
            case "GET", path if path == f"/v1/models/{name}":
                return JSONResponse(model_body(name, self._created))
        raise BadRequest(f"there is no {request.method} {request.url.path} here", status=404)

    async def _tell(self, asked: TextsRequest, reply: Reply) -> "Response":
        from starlette.responses import JSONResponse, StreamingResponse

        if not asked.is_streamed:
            return JSONResponse(await self._answering.answer(asked, reply))
        stream = self._answering.stream(asked, reply)
        # Waiting for the first event finds what is wrong with a prompt before the status is sent.
        first = await anext(stream)
        return StreamingResponse(_chain(first, stream), media_type="text/event-stream")

    def _render(self, messages: "Sequence[Message]") -> "tuple[Prompt, Sequence[str]]":
        return plain_conversation(messages) if self._template is None else (self._template.encode(messages), ())

    def _echo(self, prompt: "Prompt") -> str:
        return prompt if isinstance(prompt, str) else self._decode(list(prompt))

    def _count(self, path: str, status: int, started: float) -> None:
        known = path if path in (COMPLETIONS, CHAT, METRICS, MODELS) else "other"
        self._tally.add_request(known, status, time.monotonic() - started)
        self._reporter.changed()

    async def _counted(self, events: AsyncIterable[Any], path: str, started: float) -> AsyncIterator[Any]:
        status = 499
        try:
            async for event in events:
                yield event
            status = 200
        finally:
            # 499 is what is written of a client that has hung up.
            self._count(path, status, started)


class _Remote:
    """The monitor in its process (`reporting.Monitor`)."""

    def __init__(self, handle: "DeploymentHandle") -> None:
        self._handle = handle

    async def report(self, replica: str, numbers: Any) -> None:
        await self._handle.report.remote(replica, numbers)

    async def metrics(self) -> str:
        return str(await self._handle.metrics.remote())


async def _read_body(request: "Request") -> bytes:
    """Raises BadRequest, 413, as soon as it is certain that the body is too long."""
    data = bytearray()
    stated = request.headers.get("content-length", "")
    is_long = stated.isdigit() and len(stated) < 20 and int(stated) > MOST_BYTES
    async for chunk in request.stream():
        data += chunk
        if is_long or len(data) > MOST_BYTES:
            raise BadRequest(f"the body is longer than {MOST_BYTES} bytes; send less in one request", status=413)
    return bytes(data)


async def _chain(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield first
    async with contextlib.aclosing(rest):  # type: ignore[type-var]
        async for event in rest:
            yield event
