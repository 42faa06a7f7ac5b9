"""The call syntax, ` [Calculator(400 / 1400) -> 0.29]` (paper, section 2).

The ordinary strings ` [`, `->` and `]` stand for the paper's three markers, so no vocabulary changes.
An input or a result never contains a square bracket, and an input never contains `) -> `, so the syntax is unambiguous:
`parse_sample` refuses such inputs, and `clean_result` replaces the brackets of results.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from toolformer_ray.records.stages import KeptCall

CALL_START = " ["
CALL_ARROW = " -> "
CALL_END = "]"
MAX_RESULT_CHARS = 1_000

_NAME_AND_INPUT = r"(?P<tool>[A-Za-z_]\w*)\((?P<call_input>(?:(?!\) -> )[^\[\]])*)\)"
_CALL = re.compile(rf" ?\[{_NAME_AND_INPUT}(?: -> (?P<result>[^\[\]]*))?\]")
_SAMPLE = re.compile(rf"\s*{_NAME_AND_INPUT}\s*")
# Control characters, line breaks, and lone surrogates, which UTF-8 cannot encode.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\s]+")


@dataclass(frozen=True)
class FoundCall:
    """A part of a text that has the syntax of a call; `result` is None for one without an arrow."""

    tool: str
    call_input: str
    result: str | None
    start: int
    """Char offset of its first character, a leading space included."""
    end: int
    """Char offset after its `]`."""


def render_call(tool: str, call_input: str, result: str | None = None) -> str:
    """e(c) without a result, e(c, r) with one; `result=""` is e(c, epsilon), the call that got no answer.

    >>> render_call("Calculator", "400 / 1400", "0.29")
    ' [Calculator(400 / 1400) -> 0.29]'
    """
    arrow = "" if result is None else CALL_ARROW + result
    return f"{CALL_START}{tool}({call_input}){arrow}{CALL_END}"


def call_parts(tool: str, call_input: str, result: str) -> tuple[str, str, str]:
    """e(c, r) in three parts: the start marker, what the model writes, and the tool's answer with the end marker.

    In training and in decoding alike each part is tokenized by itself, so that a model meets the same tokens in both.

    >>> call_parts("Calculator", "400 / 1400", "0.29")
    (' [', 'Calculator(400 / 1400) ->', ' 0.29]')
    """
    return CALL_START, f"{tool}({call_input}){CALL_ARROW.rstrip()}", f" {result}{CALL_END}"


def parse_sample(sample: str) -> tuple[str, str] | None:
    """(tool, call_input) of what a model wrote between the start and the end marker; None if it is not a call."""
    match = _SAMPLE.fullmatch(sample)
    return (match["tool"], match["call_input"]) if match else None


def find_calls(text: str) -> list[FoundCall]:
    """All parts of a text that have the syntax of a call, in order. They may be the author's: see the column
    `calls`."""
    return [FoundCall(m["tool"], m["call_input"], m["result"], m.start(), m.end()) for m in _CALL.finditer(text)]


def remove_found_calls(text: str) -> str:
    """The text without anything that has the syntax of a call: for demonstrations only, never for users' texts."""
    return _CALL.sub("", text)


def insert_calls(text: str, calls: Iterable[KeptCall]) -> str:
    """x*: each call before the character at its `char_offset`.

    Raises ValueError unless the offsets rise from call to call and lie within the text.
    """
    pieces, done = [], 0
    for number, call in enumerate(calls):
        if not done + (number > 0) <= call.char_offset <= len(text):
            raise ValueError(f"call at character {call.char_offset} of {len(text)} follows one at {done}")
        pieces += [text[done : call.char_offset], render_call(call.tool, call.call_input, call.result)]
        done = call.char_offset
    return "".join([*pieces, text[done:]])


def remove_calls(augmented_text: str, calls: Iterable[KeptCall]) -> str:
    """The exact inverse of `insert_calls`. It goes by the calls' offsets, so look-alikes in the text are not touched.

    Raises ValueError if the text does not hold a call where `calls` says that it does.
    """
    pieces, done, inserted = [], 0, 0
    for call in calls:
        rendered = render_call(call.tool, call.call_input, call.result)
        start = call.char_offset + inserted
        if not augmented_text.startswith(rendered, start):
            raise ValueError(f"no call {rendered!r} at character {start} of the text")
        pieces.append(augmented_text[done:start])
        done = start + len(rendered)
        inserted += len(rendered)
    return "".join([*pieces, augmented_text[done:]])


def clean_result(result: str, max_chars: int = MAX_RESULT_CHARS) -> str:
    """A tool's answer in the form that a call allows: one line, no square brackets, at most `max_chars` characters."""
    one_line = _UNPRINTABLE.sub(" ", result).replace("[", "(").replace("]", ")").strip()
    return one_line[:max_chars].rstrip()


def unquote(call_input: str) -> str:
    """The input without surrounding white space and without one pair of quotes around it, if there is one."""
    stripped = call_input.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in "\"'":
        return stripped[1:-1].strip()
    return stripped
