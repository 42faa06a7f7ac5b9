"""What an endpoint is asked, and what is read from its answers: the probability of an opening, a sample of a call.

    completions   <demonstrations><text up to the place> [Calculator(       the prompt of annotate/prompt.py
    chat          the instruction; for each demonstration what stands before its call, and the call; the text

The probability of an opening is that of its tokens as the endpoint's own tokenizer cuts the prompt (`echo`): unlike in
the engine, other spellings of the start marker are not added to it. A token that only begins before the opening counts
as part of it.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from toolformer_ray.annotate.prompt import CallOpening, render_demonstrations, render_text_slot
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.records.calls import CALL_ARROW, CALL_END, CALL_START, find_calls, parse_sample
from toolformer_ray.tools.tool import Tool

COMPLETIONS, CHAT = "/completions", "/chat/completions"
CHAT_TASK = (
    "Each message is the beginning of a text. Answer with the one call that belongs at its end, as in the examples, "
    "and with nothing else."
)
SEEDS = 2**31
MAX_SAMPLE_CHARS = 10_000
"""A server may write more than it was asked for; a call is shorter."""


def prompt_before(tool: Tool, text: str, char_offset: int, options: ProposeOptions) -> str:
    """What is read before an opening."""
    demonstrations = "" if options.second_round else render_demonstrations(tool, options.shown)
    is_shown = options.shown == "whole" and not options.second_round
    return f"{demonstrations}{render_text_slot(text) if is_shown else ''}{text[:char_offset]}"


def opening_question(model: str, before: str, begins: CallOpening) -> dict[str, Any]:
    """Asks for the log-probabilities of a prompt's own tokens. One token is written, since some servers refuse none."""
    prompt = f"{before}{CALL_START}{begins.text}"
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}


def read_log_opening(answer: Any, before: str, prompt: str) -> float:
    """log p of what a prompt has behind `before`. Raises one of `client.UNREADABLE` if it is not told."""
    told = answer["choices"][0]["logprobs"]
    tokens, log_probs = told["tokens"], told["token_logprobs"]
    starts = _starts(tokens, told.get("text_offset"), prompt)
    ends = [*starts[1:], len(prompt) + 1]
    opening = [
        float(log_prob)
        for start, end, log_prob in zip(starts, ends, log_probs, strict=False)
        if end > len(before) and start < len(prompt)
    ]
    total = math.fsum(opening)
    if not opening or not math.isfinite(total) or total > 0:
        raise ValueError("no log-probabilities of the opening")
    return total


def _starts(tokens: Sequence[str], told: Sequence[int] | None, prompt: str) -> list[int]:
    """Where each token begins in the prompt. By the tokens themselves, where they give the prompt back."""
    lengths = list(itertools.accumulate(map(len, tokens), initial=0))
    joined = "".join(tokens)
    if prompt in joined:
        first = joined.index(prompt)
        return [length - first for length in lengths[:-1]]
    if not told or len(told) != len(tokens):
        raise ValueError("its tokens do not give the prompt back, and there are no offsets")
    return [int(offset) for offset in told]


def sample_question(
    model: str, before: str, begins: CallOpening, key: int | None, options: ProposeOptions
) -> dict[str, Any]:
    """Asks for one sample behind an opening. `key` is its randomness; None takes the likeliest tokens."""
    return {"model": model, "prompt": f"{before}{CALL_START}{begins.text}", **_sampling(key, options)} | {
        "stop": [CALL_END, CALL_ARROW.rstrip()] if options.second_round else [CALL_END]
    }


def chat_question(
    model: str, tool: Tool, text: str, char_offset: int, key: int | None, options: ProposeOptions
) -> dict[str, Any]:
    """The same in the form of a chat."""
    messages = [{"role": "system", "content": f"{tool.instruction}\n\n{CHAT_TASK}"}]
    for demonstration in tool.demonstrations:
        for call in find_calls(demonstration)[:1]:
            messages.append({"role": "user", "content": demonstration[: call.start]})
            messages.append({"role": "assistant", "content": demonstration[call.start : call.end].strip()})
    messages.append({"role": "user", "content": text[:char_offset]})
    return {"model": model, "messages": messages, **_sampling(key, options)}


def _sampling(key: int | None, options: ProposeOptions) -> Mapping[str, Any]:
    drawn = {"temperature": options.temperature, "seed": (key or 0) % SEEDS}
    return {"max_tokens": options.max_call_tokens, **(drawn if key is not None else {"temperature": 0})}


def read_sample(answer: Any) -> str | None:
    """What was written behind the opening, without the end marker; None if it did not end in time."""
    choice = answer["choices"][0]
    text = _checked(choice["text"])
    if CALL_END in text[:MAX_SAMPLE_CHARS]:
        return text[: text.index(CALL_END)]
    return None if choice.get("finish_reason") == "length" or len(text) > MAX_SAMPLE_CHARS else text


def read_chat_sample(answer: Any, begins: CallOpening) -> str | None:
    """The same from a chat: the first call in the answer, whatever is said around it."""
    choice = answer["choices"][0]
    said = _checked(choice["message"]["content"] or "")[:MAX_SAMPLE_CHARS]
    found = find_calls(said)
    call = (found[0].tool, found[0].call_input) if found else parse_sample(said.strip().strip("`[]"))
    if call is None:
        return None if choice.get("finish_reason") == "length" else _after(begins, said)
    return _after(begins, f"{call[0]}({call[1]})")


def _checked(text: Any) -> str:
    """A text that can be stored. Raises TypeError or ValueError if it is none."""
    if not isinstance(text, str):
        raise TypeError(f"a {type(text).__name__} where a text should be")
    text.encode()  # Half a character, as JSON can write it, cannot be.
    return text


def _after(begins: CallOpening, call: str) -> str:
    """What is written behind the opening of a call; what does not begin so gets a bracket, with which it is no call."""
    return call.removeprefix(begins.text) if call.startswith(begins.text) else f"{CALL_START}{call}"
