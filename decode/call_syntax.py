"""Parses a call while it is being written, from the text after its `[`.

The syntax is that of `records.calls`. A call is complete at its arrow, `) ->`, and also if it is closed without one,
`)]`, as calls are written in an annotation's prompt. Neither an input nor a name contains a bracket.
"""

import re
from dataclasses import dataclass
from typing import Literal

_NAME = r"\s*(?P<tool>[A-Za-z_]\w*)"
_COMPLETE = re.compile(_NAME + r"\((?P<call_input>(?:(?!\) ->)[^\[\]])*)\)(?: ->|\s*\])")
_NAMED = re.compile(_NAME + r"\(")
_BEGUN = re.compile(r"\s*(?:[A-Za-z_]\w*)?(?P<rest>\(?)")


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A call, or the beginning of one."""

    state: Literal["begun", "complete", "malformed"]
    tool: str | None = None
    """Its name, once the parenthesis is open."""
    call_input: str | None = None
    """Its input, once it is complete."""


def parse_call(written: str) -> ParsedCall:
    """Parse what is written after the `[`.

    >>> parse_call("Calculator(3 + 4) ->")
    ParsedCall(state='complete', tool='Calculator', call_input='3 + 4')
    """
    if match := _COMPLETE.match(written):
        return ParsedCall("complete", match["tool"], match["call_input"])
    named = _NAMED.match(written)
    tool = named["tool"] if named else None
    if "[" in written or "]" in written:
        return ParsedCall("malformed", tool)
    begun = _BEGUN.match(written)
    if begun is None or (not begun["rest"] and begun.end() < len(written)):
        return ParsedCall("malformed", tool)
    return ParsedCall("begun", tool)
