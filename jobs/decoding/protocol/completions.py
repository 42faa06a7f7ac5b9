"""OpenAI's completions: reads requests, writes replies. It knows nothing of HTTP.

Beyond the protocol a request may have `max_calls`, `call_top_k`, `max_call_tokens`, `barred` and `today`. Each choice
of the reply has `tool_calls_log`, every call with what became of it, and `plain_text`, the text without calls.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from toolformer_ray.decode.completion import Completion, Piece, ScoredToken
from toolformer_ray.decode.request import Prompt, Scoring
from toolformer_ray.jobs.decoding.protocol.errors import BadRequest
from toolformer_ray.jobs.decoding.protocol.fields import Fields
from toolformer_ray.jobs.decoding.protocol.reply import Head, flat_calls, usage
from toolformer_ray.jobs.decoding.protocol.request import (
    COMMON,
    MOST_LIKELIEST,
    MOST_NUMBER,
    MOST_TEXTS,
    REMEDIES,
    TextsRequest,
    check_model,
    read_options,
    read_samples,
    read_streaming,
)

DEFAULT_MAX_TOKENS = 16
"""OpenAI's default."""
_KNOWN = COMMON | {"prompt", "max_tokens", "echo", "suffix", "best_of"}


def read_completion(body: dict[str, Any], model: str) -> TextsRequest:
    """The request that a client sent as JSON. Raises BadRequest."""
    fields = Fields(body)
    fields.refuse_others(_KNOWN, REMEDIES)
    check_model(fields, model)
    fields.refuse_unless("suffix", ("",))
    fields.refuse_unless("best_of", (1, fields.raw("n")))
    prompts = _read_prompts(fields.raw("prompt"))
    is_echoed = fields.flag("echo")
    max_tokens = fields.integer("max_tokens", DEFAULT_MAX_TOKENS, least=0, most=MOST_NUMBER)
    if not max_tokens and not is_echoed:
        raise BadRequest("max_tokens is 0; it must be at least 1, unless echo is true", param="max_tokens")
    scoring = None
    if fields.has("logprobs"):
        most = fields.integer("logprobs", 0, least=0, most=MOST_LIKELIEST)
        scoring = Scoring(num_likeliest=most, with_prompt=is_echoed)
    is_streamed, tells_usage = read_streaming(fields)
    return TextsRequest(
        prompts=prompts,
        # Who wants a prompt back wants to score it, and counts on so many tokens behind it.
        options=read_options(fields, max_tokens=max(1, max_tokens), max_calls=0 if is_echoed else None),
        num_samples=read_samples(fields, len(prompts)),
        scoring=scoring,
        is_echoed=is_echoed,
        is_written=max_tokens > 0,
        is_streamed=is_streamed,
        tells_usage=tells_usage,
    )


def _read_prompts(prompt: Any) -> list[Prompt]:
    """A string, token ids, or a list of either."""
    refusal = "prompt must be a string, a list of token ids, or a list of such"
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list) or not prompt:
        raise BadRequest(f"{refusal}; it is {'an empty list' if prompt == [] else 'none'}", param="prompt")
    prompts = [prompt] if _are_ids(prompt) else prompt
    if not all(isinstance(one, str) or (isinstance(one, list) and one and _are_ids(one)) for one in prompts):
        raise BadRequest(refusal, param="prompt")
    if len(prompts) > MOST_TEXTS:
        raise BadRequest(f"prompt has {len(prompts)} prompts; at most {MOST_TEXTS}", param="prompt")
    return list(prompts)


def _are_ids(values: Sequence[Any]) -> bool:
    return all(type(value) is int and 0 <= value < 2**31 for value in values)


@dataclass(frozen=True)
class CompletionReply:
    """The answer to one request: chunks of a stream, or one body. `echoes`: what stands before each text."""

    head: Head
    echoes: Sequence[str]

    def first_chunk(self, index: int) -> dict[str, Any] | None:
        """What is told before anything is written."""
        if not self.echoes[index]:
            return None
        return self._chunk(index, self.echoes[index])

    def chunk(self, index: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """The next part of a streamed text; `pieces` tells who wrote which part."""
        chunk = self._chunk(index, "".join(piece.text for piece in pieces))
        chunk["choices"][0]["pieces"] = [asdict(piece) for piece in pieces]
        return chunk

    def last_chunk(self, index: int, answer: Completion) -> dict[str, Any]:
        """How a streamed text ended."""
        return self.head.with_choices([self._choice(index, answer) | {"text": ""}])

    def usage_chunk(self, answers: Sequence[Completion], num_samples: int) -> dict[str, Any]:
        """How many tokens there were, behind the last text of a stream."""
        return self.head.with_choices([]) | {"usage": usage(answers, num_samples)}

    def body(self, answers: Sequence[Completion], num_samples: int) -> dict[str, Any]:
        """All texts, whole."""
        choices = [self._choice(index, answer) for index, answer in enumerate(answers)]
        return self.head.with_choices(choices) | {"usage": usage(answers, num_samples)}

    def _chunk(self, index: int, text: str) -> dict[str, Any]:
        return self.head.with_choices([{"index": index, "text": text, "logprobs": None, "finish_reason": None}])

    def _choice(self, index: int, answer: Completion) -> dict[str, Any]:
        return {
            "index": index,
            "text": self.echoes[index] + answer.text,
            "logprobs": None if answer.scores is None else legacy_logprobs(answer.scores),
            "finish_reason": answer.finish_reason,
            "plain_text": answer.plain_text,
            "tool_calls_log": flat_calls(answer.calls),
        }


def legacy_logprobs(tokens: Sequence[ScoredToken]) -> dict[str, Any]:
    """Four lists with an entry per token. The token itself is among the likeliest that are told, as in OpenAI's."""
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.log_prob for token in tokens],
        "top_logprobs": [_top(token) for token in tokens],
        "text_offset": [token.char_offset for token in tokens],
    }


def _top(token: ScoredToken) -> dict[str, float] | None:
    if token.log_prob is None:
        return None
    top: dict[str, float] = {}
    # Several entries may read the same, such as parts of characters: the likeliest of them is told.
    for text, log_prob in (*token.likeliest, (token.text, token.log_prob)):
        top.setdefault(text, log_prob)
    return top
