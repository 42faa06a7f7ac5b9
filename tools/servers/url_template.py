"""A URL with parameters in braces, `https://example.org/v1/{city}?units={units}`, whose values change nothing else.

Parameters stand in the path and in the values of the query. Values are percent-encoded. One that would add a step to
the path, or leave a step empty or name the one above, is refused, since servers and proxies undo encodings.
"""

import json
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.tool import BadInput

MAX_VALUE_CHARS = 2_000
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class UrlTemplate:
    """A checked template. Raises UnusableError, beginning with `where`, if it is none."""

    def __init__(self, template: str, where: str) -> None:
        beginning, _, query = template.partition("?")
        parts = urlsplit(beginning)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnusableError(f"{where} has to begin with http:// or https:// and a host")
        if "@" in parts.netloc:
            raise UnusableError(f"{where} holds a user name; give keys by `headers`")
        if "{" in parts.netloc or "}" in parts.netloc:
            raise UnusableError(f"{where} has a parameter in its host; parameters stand in the path and the query")
        if "#" in template:
            raise UnusableError(f"{where} has a part behind #, which no server sees; leave it out")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._steps = parts.path.split("/")
        self._query = [pair.partition("=")[::2] for pair in query.split("&") if pair]
        if any("{" in name for name, _ in self._query):
            raise UnusableError(f"{where} has a parameter in the name of a part of the query")
        try:
            self.path_names = tuple(dict.fromkeys(name for step in self._steps for name in _names(step)))
            self.query_names = tuple(dict.fromkeys(name for _, value in self._query for name in _names(value)))
        except ValueError:
            raise UnusableError(f"{where} has braces that hold no name of a parameter") from None

    def fill(self, values: Mapping[str, Any]) -> str:
        """The URL for some values; a part of the query whose value is not given is left out.

        Raises BadInput for a value that cannot stand in its place.
        """
        path = "/".join(self._step(step, values) for step in self._steps)
        given = [(name, value) for name, value in self._query if _are_given(value, values)]
        pairs = [f"{name}={_filled(value, values, _encoded)}" for name, value in given]
        return self._origin + path + ("?" + "&".join(pairs) if pairs else "")

    def _step(self, step: str, values: Mapping[str, Any]) -> str:
        filled = _filled(step, values, _encoded_step)
        if "{" in step and filled in ("", ".", ".."):
            raise BadInput("a value would change the path", argument=next(_names(step)))
        return filled


def as_text(value: Any, name: str) -> str:
    """A value as a request has it. Raises BadInput for one that has no plain form, or is too long."""
    if isinstance(value, list):
        text = ",".join(as_text(entry, name) for entry in value)
    elif isinstance(value, str):
        text = value
    elif isinstance(value, bool | int | float):
        text = json.dumps(value)
    else:
        raise BadInput("it has no plain form for a URL", argument=name)
    if len(text) > MAX_VALUE_CHARS:
        raise BadInput(f"it has {len(text)} characters; at most {MAX_VALUE_CHARS} are sent", argument=name)
    return text


def _names(part: str) -> Iterator[str]:
    for _, name, form, conversion in string.Formatter().parse(part):
        if name is None:
            continue
        if not _NAME.fullmatch(name) or form or conversion:
            raise ValueError(name)
        yield name


def _are_given(part: str, values: Mapping[str, Any]) -> bool:
    return all(values.get(name) is not None for name in _names(part))


def _filled(part: str, values: Mapping[str, Any], encode: Any) -> str:
    pieces = string.Formatter().parse(part)
    return "".join(text + (encode(values.get(name), name) if name is not None else "") for text, name, _, _ in pieces)


def _encoded(value: Any, name: str) -> str:
    try:
        return quote(as_text(value, name), safe="")
    except UnicodeEncodeError:
        raise BadInput("it has a character that cannot be encoded", argument=name) from None


def _encoded_step(value: Any, name: str) -> str:
    if value is None:
        raise BadInput("it is missing", argument=name)
    text = as_text(value, name)
    if "/" in text or "\\" in text:
        raise BadInput("it would change the path", argument=name)
    return _encoded(value, name)
