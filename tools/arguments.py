"""Named arguments between the parentheses of a call, `amount=26, unit="km"`: one parser and one renderer.

    arguments   name=value or value, separated by commas; what has no name comes first
    value       "text" or 'text', a number, true, false, null, (a, list), {"an": "object"}

Lists stand in parentheses, since no call holds a square bracket. Texts are escaped as in JSON and, in addition, where
they would end a call: brackets, line breaks, `) ->`. So whatever is rendered is found again, in every place that reads
calls, and parsing gives the values back.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from toolformer_ray.tools.tool import BadInput

MAX_CHARS = 20_000
MAX_DEPTH = 16
"""Lists and objects inside each other."""
MAX_DIGITS = 300

_SPACE = re.compile(r"\s*+")
_NAME = re.compile(r"([A-Za-z_]\w*+)\s*+=\s*+(?!=)", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"|\'(?:[^\'\\]++|\\.)*+\'', re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?(?![\w.])", re.ASCII)
_WORD = re.compile(r"[A-Za-z]++")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_UNSAFE = re.compile("[\\[\\]\x7f-\x9f\u2028\u2029\ud800-\udfff]|(?<=\\) -)>")


class Arguments(NamedTuple):
    """The arguments of one call."""

    positional: Sequence[Any]
    named: Mapping[str, Any]


def parse_arguments(call_input: str) -> Arguments:
    """The arguments of a call. Raises BadInput, which names the argument if it is known by then.

    >>> parse_arguments('26, unit="km"')
    Arguments(positional=[26], named={'unit': 'km'})
    """
    if len(call_input) > MAX_CHARS:
        raise BadInput(f"an input of {len(call_input)} characters; at most {MAX_CHARS} are read")
    return _Parser(call_input).arguments()


def render_arguments(arguments: Mapping[str, Any]) -> str:
    """The text between the parentheses. Raises ValueError for a value that JSON does not have.

    >>> render_arguments({"amount": 26, "units": ["km", "mi"]})
    'amount=26, units=("km", "mi")'
    """
    return ", ".join(f"{name}={render_value(value)}" for name, value in arguments.items())


def render_value(value: Any) -> str:
    """One value as it stands in a call."""
    if isinstance(value, str):
        written = json.dumps(value, ensure_ascii=False)
        return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", written)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} cannot be written in a call")
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{render_value(str(key))}: {render_value(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence):
        return f"({', '.join(map(render_value, value))})"
    raise ValueError(f"a {type(value).__name__} cannot be written in a call")


class _Parser:
    """Reads from left to right; each step looks at a character once."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._argument: str | None = None

    def arguments(self) -> Arguments:
        positional: list[Any] = []
        named: dict[str, Any] = {}
        self._skip()
        while self._at < len(self._text):
            name = _NAME.match(self._text, self._at)
            self._argument = name[1] if name else None
            if name is None and named:
                raise self._refusal("an argument without a name comes behind one with a name")
            if name is None:
                positional.append(self._value(0))
            elif name[1] in named:
                raise self._refusal("it is given twice")
            else:
                self._at = name.end()
                named[name[1]] = self._value(0)
            if self._at < len(self._text) and not self._take(","):
                raise self._refusal("a comma is missing")
        return Arguments(positional, named)

    def _value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self._refusal(f"more than {MAX_DEPTH} lists and objects are inside each other")
        if found := self._match(_STRING):
            return _unescape(found[1:-1])
        if found := self._match(_NUMBER):
            return self._number(found)
        if self._take("("):
            return self._items(")", lambda: self._value(depth + 1))
        if self._take("{"):
            return dict(self._items("}", lambda: self._entry(depth + 1)))
        word = self._match(_WORD)
        if word in _WORDS:
            return _WORDS[word]
        raise self._refusal("a value is missing: texts stand in quotation marks")

    def _items(self, closing: str, read: Any) -> list[Any]:
        items: list[Any] = []
        while not self._take(closing):
            if items and not self._take(","):
                raise self._refusal(f"a comma or {closing} is missing")
            if items and self._take(closing):
                break
            items.append(read())
        return items

    def _entry(self, depth: int) -> tuple[str, Any]:
        name = self._match(_STRING)
        if name is None or not self._take(":"):
            raise self._refusal('an entry of an object is written "name": value')
        return _unescape(name[1:-1]), self._value(depth)

    def _number(self, written: str) -> int | float:
        if len(written) > MAX_DIGITS:
            raise self._refusal(f"a number of {len(written)} digits; at most {MAX_DIGITS} are read")
        if written.lstrip("+-").isdigit():
            return int(written)
        value = float(written)
        if not math.isfinite(value):
            raise self._refusal("a number is too large")
        return value

    def _match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        self._skip()
        return found[0]

    def _take(self, sign: str) -> bool:
        is_there = self._text.startswith(sign, self._at)
        if is_there:
            self._at += 1
            self._skip()
        return is_there

    def _skip(self) -> None:
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]

    def _refusal(self, fault: str) -> BadInput:
        return BadInput(f"at character {self._at + 1}: {fault}", argument=self._argument)


def _unescape(written: str) -> str:
    if "\\" not in written:
        return written
    text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2]), written)
    # JSON writes what is beyond 16 bits as two escapes.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
