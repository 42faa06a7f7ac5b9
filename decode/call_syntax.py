"""Reads a call while it is being written: what stands so far between `[` and the latest token.

The syntax is that of `records.calls`. A call is asked at its arrow, `) ->`; one that is closed without an arrow, `)]`,
is asked too, for that is how it is written in an annotation's prompt. Neither an input nor a name holds a bracket.
"""

import re
from dataclasses import dataclass
from typing import Literal

_NAME = r"\s*(?P<tool>[A-Za-z_]\w*)"
_ASKED = re.compile(_NAME + r"\((?P<call_input>(?:(?!\) ->)[^\[\]])*)\)(?: ->|\s*\])")
_NAMED = re.compile(_NAME + r"\(")
_BEGUN = re.compile(r"\s*(?:[A-Za-z_]\w*)?(?P<rest>\(?)")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the beginning of a call reads as."""

    state: Literal["begun", "asked", "malformed"]
    tool: str | None = None
    """Its name, once the parenthesis is open."""
    call_input: str | None = None
    """Its input, once it is asked."""


def read_call(written: str) -> Reading:
    """What stands behind the `[`.

    >>> read_call("Calculator(3 + 4) ->")
    Reading(state='asked', tool='Calculator', call_input='3 + 4')
    """
    if match := _ASKED.match(written):
        return Reading("asked", match["tool"], match["call_input"])
    named = _NAMED.match(written)
    tool = named["tool"] if named else None
    if "[" in written or "]" in written:
        return Reading("malformed", tool)
    begun = _BEGUN.match(written)
    if begun is None or (not begun["rest"] and begun.end() < len(written)):
        return Reading("malformed", tool)
    return Reading("begun", tool)
