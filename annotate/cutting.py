"""Cuts a text into pieces that fit the model's window, in which x stands twice when calls are proposed (section 2).

A piece ends after a blank line, else after a sentence, else after a line, else after white space, each only if that
leaves the piece at least half full; else between two characters. Joined in order, the pieces are exactly the text. The
cost is linear in the text: each step encodes only what one piece can hold.
"""

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import Places, TextTokenizer

MIN_TEXT_TOKENS = 16
"""Shorter texts are not worth annotating. A single character may need about six tokens."""

SPLICE_TOKENS = 16
"""Left free, since a text that is encoded as a whole may have a few tokens more than the sum of its pieces."""

_FIRST_CHARS_PER_TOKEN = 6
_BOUNDARIES = (
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"[.!?\u2026][\"'\u201d\u2019\u00bb)\]]{0,4}\s+|[\u3002\uff01\uff1f]"),
    re.compile(r"\n\s*"),
    re.compile(r"\s+"),
)
"""What a piece may end with, the best first: a blank line, a sentence (also an East Asian one), a line, a word."""


def max_text_tokens(
    tokenizer: "TextTokenizer", window: int, tools: Iterable[Tool | type[Tool]], options: ProposeOptions
) -> int:
    """How many tokens a text may have so that every tool's prompt, the text and a call fit the window.

    The text stands twice in its prompt if the whole of it is shown.

    Raises ValueError if that leaves less than MIN_TEXT_TOKENS.
    """
    prompts = {tool.name: len(tokenizer.encode(render_demonstrations(tool, options.shown))) for tool in tools}
    longest = max(prompts, key=lambda name: (prompts[name], name))
    num_times, slot = (2, len(tokenizer.encode(render_text_slot("")))) if options.shown == "whole" else (1, 0)
    called = len(tokenizer.open_ids) + options.max_call_tokens
    taken = len(tokenizer.bos_ids) + prompts[longest] + slot + called + SPLICE_TOKENS
    left = (window - taken) // num_times
    if left < MIN_TEXT_TOKENS:
        raise ValueError(
            f"the model's window of {window} tokens is too short: the prompt of {longest} takes {prompts[longest]}, "
            f"a call {options.max_call_tokens}, and the text must fit {('once', 'twice')[num_times - 1]}; take a model "
            f"with a window of at least {taken + num_times * MIN_TEXT_TOKENS} tokens or leave {longest} out"
        )
    return left


def cut(text: str, max_tokens: int, tokenizer: "TextTokenizer") -> Iterator[str]:
    """The pieces of a text, each of at most `max_tokens` tokens (at least MIN_TEXT_TOKENS) when encoded alone."""
    start, reach = 0, _FIRST_CHARS_PER_TOKEN * max_tokens
    while start < len(text):
        ahead = text[start : start + reach]
        places = tokenizer.places(ahead)
        if len(places.ids) > max_tokens:
            piece = _first_piece(ahead, places, max_tokens, tokenizer)
        elif start + reach >= len(text):
            piece = ahead
        else:
            reach *= 2
            continue
        yield piece
        start += len(piece)
        # Look at as many characters as a piece is likely to hold, by the tokens per character so far, and a fifth more.
        reach = max(len(ahead) * max_tokens * 6 // (len(places.ids) * 5), max_tokens)


def _first_piece(ahead: str, places: "Places", max_tokens: int, tokenizer: "TextTokenizer") -> str:
    """The first piece of a text that has more than `max_tokens` tokens, as long as possible."""
    allowed = max_tokens
    while allowed > 0:
        # Do not cut where a token starts inside a character, unless the whole text is one character.
        token = next((i for i in range(allowed, 0, -1) if places.is_place[i]), allowed)
        limit = max(places.char_offsets[token], 1)
        piece = ahead[: _well_ended(ahead, limit)]
        excess = len(tokenizer.encode(piece)) - max_tokens
        if excess <= 0:
            return piece
        allowed = token - excess
    return ahead[0]


def _well_ended(ahead: str, limit: int) -> int:
    """Where to end a piece of at most `limit` characters: after the last of the best boundaries in its second half."""
    for boundary in _BOUNDARIES:
        ends = [match.end() for match in boundary.finditer(ahead, limit // 2, limit)]
        if ends:
            return ends[-1]
    return limit
