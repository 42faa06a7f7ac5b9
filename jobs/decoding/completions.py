"""OpenAI's completions protocol: reads and checks requests, writes replies. It knows nothing of HTTP.

Beyond the protocol a request may have `max_calls`, `call_top_k`, `max_call_tokens`, `barred` and `today`. Each choice
of the reply has `tool_calls_log`, every call with what became of it, and `plain_text`, the text without calls.
"""

import datetime
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.records.errors import OptionError, one_line

DEFAULT_MAX_TOKENS = 16
"""OpenAI's default."""
# Parameters that are not supported, with the values that change nothing and so are accepted.
_UNSUPPORTED: Mapping[str, Sequence[Any]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "top_p": (None, 1),
    "echo": (None, False),
    "logprobs": (None,),
    "suffix": (None,),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
}
_OURS = ("max_calls", "call_top_k", "max_call_tokens")
_KNOWN = {"model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "stop", "seed", "user"}
_KNOWN |= {*_UNSUPPORTED, *_OURS, "barred", "today"}


class BadRequest(ValueError):  # noqa: N818  named for the status
    """The client has to change something; `status` is the HTTP status."""

    def __init__(self, message: str, *, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.status = param, status

    def body(self) -> dict[str, Any]:
        """The error as OpenAI's clients read it."""
        code = "model_not_found" if self.status == 404 and self.param == "model" else None
        kind = "invalid_request_error"
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": code}}


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """A checked request."""

    prompts: Sequence[str]
    options: DecodeOptions
    is_streamed: bool
    tells_usage: bool
    """Whether a stream ends with the number of tokens."""


def read_request(body: object, model: str) -> CompletionRequest:
    """The request that a client sent as JSON. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("the body is no JSON object")
    if unknown := sorted(body.keys() - _KNOWN):
        # JSON can spell surrogates, for which UTF-8, and so the reply, has no bytes.
        name = unknown[0].encode("utf-8", "replace").decode()
        raise BadRequest(f"{name} is not known here; leave it out", param=name)
    if body.get("model") != model:
        raise BadRequest(
            f"the model {body.get('model')!r} is not served; there is {model!r}", param="model", status=404
        )
    for name, accepted in _UNSUPPORTED.items():
        if body.get(name) not in accepted:
            raise BadRequest(f"{name} is {body[name]!r}, which is not supported; leave it out", param=name)
    usage = body.get("stream_options") or {}
    return CompletionRequest(
        prompts=_prompts(body.get("prompt")),
        options=_options(body),
        is_streamed=bool(body.get("stream")),
        tells_usage=isinstance(usage, dict) and bool(usage.get("include_usage")),
    )


class Reply:
    """The answer to one request: chunks of a stream, or one body."""

    def __init__(self, model: str) -> None:
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    def chunk(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The next part of a streamed text; `pieces` tells who wrote which part."""
        text = "".join(piece.text for piece in pieces)
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None}
        return self._head | {"choices": [choice | {"pieces": [asdict(piece) for piece in pieces]}]}

    def last_chunk(self, index: int, answer: Completion) -> dict[str, Any]:
        """How a streamed text ended."""
        return self._head | {"choices": [_choice(index, answer) | {"text": ""}]}

    def usage_chunk(self, answers: Sequence[Completion]) -> dict[str, Any]:
        """How many tokens there were, behind the last text of a stream."""
        return self._head | {"choices": [], "usage": _usage(answers)}

    def body(self, answers: Sequence[Completion]) -> dict[str, Any]:
        """All texts, whole."""
        choices = [_choice(index, answer) for index, answer in enumerate(answers)]
        return self._head | {"choices": choices, "usage": _usage(answers)}


def models_body(model: str, created: int) -> dict[str, Any]:
    """The list of the one model that is served."""
    return {"object": "list", "data": [model_body(model, created)]}


def model_body(model: str, created: int) -> dict[str, Any]:
    """The model that is served."""
    return {"id": model, "object": "model", "created": created, "owned_by": "toolformer-ray"}


def _choice(index: int, answer: Completion) -> dict[str, Any]:
    return {
        "index": index,
        "text": answer.text,
        "logprobs": None,
        "finish_reason": answer.finish_reason,
        "plain_text": answer.plain_text,
        "tool_calls_log": [asdict(call) for call in answer.calls],
    }


def _usage(answers: Sequence[Completion]) -> dict[str, int]:
    asked, written = sum(a.num_prompt_tokens for a in answers), sum(a.num_new_tokens for a in answers)
    return {"prompt_tokens": asked, "completion_tokens": written, "total_tokens": asked + written}


def _prompts(prompt: object) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(prompts, list) or not prompts or not all(isinstance(text, str) for text in prompts):
        raise BadRequest("prompt must be a string or a list of strings", param="prompt")
    return prompts


def _options(body: Mapping[str, Any]) -> DecodeOptions:
    def given(name: str, default: Any, *kinds: type) -> Any:
        value = default if body.get(name) is None else body[name]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise BadRequest(f"{name} is {value!r:.80}, which is no {kinds[0].__name__}", param=name)
        return value

    stop, barred = body.get("stop") or [], body.get("barred") or []
    for name, values in (("stop", stop), ("barred", barred)):
        if not isinstance(values, str) and not (isinstance(values, list) and all(isinstance(v, str) for v in values)):
            raise BadRequest(f"{name} must be a string or a list of strings", param=name)
    today = given("today", "", str)
    try:
        return DecodeOptions(
            max_new_tokens=given("max_tokens", DEFAULT_MAX_TOKENS, int),
            temperature=_as_float("temperature", given("temperature", 1.0, float, int)),
            # Without a seed a client wants another text each time.
            seed=given("seed", secrets.randbits(63), int),
            stop=(stop,) if isinstance(stop, str) else tuple(stop),
            barred=(barred,) if isinstance(barred, str) else tuple(barred),
            today=datetime.date.fromisoformat(today) if today else None,
            **{name: given(name, None, int) for name in _OURS if body.get(name) is not None},
        )
    except OptionError as error:
        name = "max_tokens" if error.field == "max_new_tokens" else error.field
        raise BadRequest(f"{name} is {error.value}; {error.remedy}", param=name) from error
    except ValueError as error:
        raise BadRequest(one_line(error)) from error


def _as_float(name: str, value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise BadRequest(f"{name} is an integer of {len(str(value))} digits; give a smaller one", param=name) from error
