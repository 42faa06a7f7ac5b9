"""OpenAI's chat completions: reads requests, writes replies. It knows nothing of HTTP.

Calls are answered inside, so nobody has to run a tool: a message has no `tool_calls`, whose meaning is that the client
should, and its `content` is the text without calls. Each choice has `tool_calls_log`, every call in the form of
OpenAI's `tool_calls` with its result and what became of it, and `text_with_calls`.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolformer_ray.decode.completion import Completion, Piece, ScoredToken
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.request import Prompt, Scoring
from toolformer_ray.decode.transcript import join
from toolformer_ray.jobs.decoding.protocol.errors import BadRequest
from toolformer_ray.jobs.decoding.protocol.fields import Fields, shown
from toolformer_ray.jobs.decoding.protocol.reply import Head, nested_calls, usage
from toolformer_ray.jobs.decoding.protocol.request import (
    COMMON,
    MOST_LIKELIEST,
    MOST_NUMBER,
    REMEDIES,
    TextsRequest,
    check_model,
    read_options,
    read_samples,
    read_streaming,
)
from toolformer_ray.lm.requests import Message

DEFAULT_MAX_TOKENS = DecodeOptions().max_new_tokens
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""The roles that a message may have, as a chat template knows them."""
_KNOWN = COMMON | {"messages", "max_tokens", "max_completion_tokens", "top_logprobs", "response_format"}
_KNOWN_OF_MESSAGE = frozenset({"role", "content", "name", "refusal", "annotations"})
_REMEDIES_OF_MESSAGE = dict.fromkeys(
    ("tool_calls", "tool_call_id", "function_call", "audio"),
    "not supported: the server answers calls itself; send the text of the conversation alone",
)

Render = Callable[[Sequence[Message]], tuple[Prompt, Sequence[str]]]
"""From messages to the prompt, and to the strings before which the answer ends. Raises ValueError, one line."""


def read_chat(body: dict[str, Any], model: str, render: Render) -> TextsRequest:
    """The request that a client sent as JSON. Raises BadRequest."""
    fields = Fields(body)
    fields.refuse_others(_KNOWN, REMEDIES)
    check_model(fields, model)
    fields.refuse_unless("response_format", ({"type": "text"},))
    messages = _read_messages(fields.raw("messages"))
    name = "max_completion_tokens" if fields.has("max_completion_tokens") else "max_tokens"
    max_tokens = fields.integer(name, DEFAULT_MAX_TOKENS, least=1, most=MOST_NUMBER)
    num_likeliest = fields.integer("top_logprobs", 0, least=0, most=MOST_LIKELIEST)
    has_logprobs = fields.flag("logprobs")
    if num_likeliest and not has_logprobs:
        raise BadRequest("top_logprobs needs logprobs to be true", param="top_logprobs")
    is_streamed, tells_usage = read_streaming(fields)
    num_samples = read_samples(fields, 1)
    read_options(fields, max_tokens=max_tokens)
    try:
        prompt, stops = render(messages)
    except ValueError as error:
        raise BadRequest(str(error), param="messages") from error
    return TextsRequest(
        prompts=[prompt],
        options=read_options(fields, max_tokens=max_tokens, more_stops=stops),
        num_samples=num_samples,
        scoring=Scoring(num_likeliest=num_likeliest) if has_logprobs else None,
        is_streamed=is_streamed,
        tells_usage=tells_usage,
        prompt_field="messages",
    )


def _read_messages(messages: Any) -> list[Message]:
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages must be a list of at least one message", param="messages")
    return [_read_message(number, message) for number, message in enumerate(messages)]


def _read_message(number: int, message: Any) -> Message:
    where = f"messages[{number}]"
    if not isinstance(message, dict):
        raise BadRequest(f"{where} is no object", param=where)
    for name in sorted(message.keys() - _KNOWN_OF_MESSAGE):
        if message[name] is not None or name not in _REMEDIES_OF_MESSAGE:
            remedy = _REMEDIES_OF_MESSAGE.get(name, "not known here; leave it out")
            raise BadRequest(f"{where}: {shown(name)} is {remedy}", param=where)
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadRequest(f"{where}: role is {shown(role)}; it must be one of {', '.join(ROLES)}", param=f"{where}.role")
    return {"role": ROLES[role], "content": _read_content(where, message.get("content"))}


def _read_content(where: str, content: Any) -> str:
    """A string, or a list of parts that are text."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    given = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) < len(parts):
        raise BadRequest(f"{where}: content must be a string or a list of text parts", param=f"{where}.content")
    joined = "".join(texts)
    if joined.encode("utf-8", "replace").decode() != joined:
        raise BadRequest(f"{where}: content has half a character, which UTF-8 does not have", param=f"{where}.content")
    return joined


def plain_conversation(messages: Sequence[Message]) -> tuple[Prompt, Sequence[str]]:
    """How a conversation is written for a model without a chat template, and before what its answer ends.

    >>> plain_conversation([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}])
    ('Be brief.\\n\\nUser: Who?\\nAssistant:', ['\\nUser:'])
    """
    written = {"system": "{}\n\n", "user": "User: {}\n", "assistant": "Assistant: {}\n"}
    turns = [written[message["role"]].format(message["content"].strip()) for message in messages]
    return "".join(turns) + "Assistant:", ["\nUser:"]


@dataclass(frozen=True)
class ChatReply:
    """The answer to one request: chunks of a stream, or one body."""

    head: Head

    def first_chunk(self, index: int) -> dict[str, Any] | None:
        """That the assistant speaks."""
        return self._chunk(index, {"role": "assistant", "content": ""})

    def chunk(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The next part of a streamed message; `pieces` has calls and results too."""
        plain = join(pieces, only_plain=True)
        chunk = self._chunk(index, {"content": plain} if plain else {})
        chunk["choices"][0]["pieces"] = [asdict(piece) for piece in pieces]
        return chunk

    def last_chunk(self, index: int, answer: Completion) -> dict[str, Any]:
        """How a streamed message ended."""
        return self.head.with_choices([{"index": index, "delta": {}, **_ending(answer)}])

    def usage_chunk(self, answers: Sequence[Completion], num_samples: int) -> dict[str, Any]:
        """How many tokens there were, behind the last message of a stream."""
        return self.head.with_choices([]) | {"usage": usage(answers, num_samples)}

    def body(self, answers: Sequence[Completion], num_samples: int) -> dict[str, Any]:
        """All messages, whole."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.plain_text, "refusal": None},
                **_ending(answer),
            }
            for index, answer in enumerate(answers)
        ]
        return self.head.with_choices(choices) | {"usage": usage(answers, num_samples)}

    def _chunk(self, index: int, delta: dict[str, Any]) -> dict[str, Any]:
        return self.head.with_choices([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])


def _ending(answer: Completion) -> dict[str, Any]:
    return {
        "logprobs": None if answer.scores is None else chat_logprobs(answer.scores),
        "finish_reason": answer.finish_reason,
        "tool_calls_log": nested_calls(answer.calls),
        "text_with_calls": answer.text,
    }


def chat_logprobs(tokens: Sequence[ScoredToken]) -> dict[str, Any]:
    """The tokens of the message's `content`; those of calls and results are not told."""
    told = [
        {
            **_entry(token.text, token.log_prob or 0.0),
            "top_logprobs": [_entry(text, log_prob) for text, log_prob in token.likeliest],
        }
        for token in tokens
        if token.by == "text"
    ]
    return {"content": told, "refusal": None}


def _entry(text: str, log_prob: float) -> dict[str, Any]:
    # The bytes of a part of a character are not known here.
    is_whole = "\N{REPLACEMENT CHARACTER}" not in text
    return {"token": text, "logprob": log_prob, "bytes": list(text.encode()) if is_whole else None}
