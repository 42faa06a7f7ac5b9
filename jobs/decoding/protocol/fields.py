"""The fields of a request's JSON object, each read with its type and bounds; whatever is wrong names its field.

None is the same as leaving a field out, as OpenAI's clients send it. JSON may spell what is not allowed here: NaN, and
integers of any length, which Python reads as such.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from toolformer_ray.jobs.decoding.protocol.errors import BadRequest

MOST_DEEP = 100
"""How deep objects and lists may be nested; no field needs more than five."""
HARMLESS = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)
"""Accepted and ignored: they say nothing about the text."""


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object of a body. Raises BadRequest."""
    try:
        body = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise BadRequest("the body is nested too deep") from error
    except BadRequest:
        raise
    except ValueError as error:
        raise BadRequest("the body is no JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is no JSON object")
    if _is_deeper(body, MOST_DEEP):
        raise BadRequest("the body is nested too deep")
    return body


class Fields:
    """Reads one object. Every method raises BadRequest, and gives None or the default where a field is left out."""

    def __init__(self, body: Mapping[str, Any], where: str = "") -> None:
        """`where`: what its fields are told with, such as `stream_options.`."""
        self._body, self._where = body, where

    def refuse_others(self, known: frozenset[str], remedies: Mapping[str, str]) -> None:
        """Raise BadRequest for a field that is neither known nor harmless; some have a remedy of their own."""
        for name in sorted(self._body.keys() - known - HARMLESS):
            # JSON can spell surrogates, for which UTF-8, and so the reply, has no bytes.
            shown = name.encode("utf-8", "replace").decode()[:80]
            if self._body[name] is not None or name not in remedies:
                raise BadRequest(
                    f"{shown} is {remedies.get(name, 'not known here; leave it out')}", param=self._where + shown
                )

    def refuse_unless(self, name: str, accepted: Sequence[Any]) -> None:
        """Raise BadRequest unless an unsupported field has a value that changes nothing."""
        value = self._body.get(name)
        if value is not None and not any(type(value) is type(one) and value == one for one in accepted):
            raise BadRequest(f"{name} is {shown(value)}, which is not supported; leave it out", param=name)

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        """An integer within bounds; 3.0 is none."""
        value = self._given(name, default)
        if type(value) is not int:
            raise BadRequest(f"{name} is {shown(value)}, which is no integer", param=name)
        if not least <= value <= most:
            raise BadRequest(f"{name} is {shown(value)}; it must be from {least} to {most}", param=name)
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self._given(name, default)
        if type(value) is int and abs(value) > 10**18:
            raise BadRequest(f"{name} is {shown(value)}; give a smaller one", param=name)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise BadRequest(f"{name} is {shown(value)}, which is no number", param=name)
        return float(value)

    def flag(self, name: str) -> bool:
        """True or false; false where it is left out."""
        value = self._given(name, False)  # noqa: FBT003
        if type(value) is not bool:
            raise BadRequest(f"{name} is {shown(value)}; it must be true or false", param=self._where + name)
        return value

    def text(self, name: str) -> str | None:
        """A string."""
        value = self._body.get(name)
        if value is not None and not isinstance(value, str):
            raise BadRequest(f"{name} is {shown(value)}, which is no string", param=name)
        return value

    def texts(self, name: str, *, most: int, most_chars: int) -> tuple[str, ...]:
        """A string, or a list of strings; none may be empty."""
        value = self._given(name, [])
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise BadRequest(f"{name} must be a string or a list of strings", param=name)
        if len(texts) > most or any(len(one) > most_chars for one in texts):
            limits = f"it may have {most} strings of {most_chars} characters"
            raise BadRequest(f"{name} is {shown(texts)}; {limits}", param=name)
        if "" in texts:
            raise BadRequest(f"{name} has an empty string; leave it out", param=name)
        return tuple(texts)

    def inner(self, name: str) -> "Fields | None":
        """An object."""
        value = self._body.get(name)
        if value is not None and not isinstance(value, dict):
            raise BadRequest(f"{name} is {shown(value)}, which is no object", param=name)
        return None if value is None else Fields(value, f"{name}.")

    def raw(self, name: str) -> Any:
        """Whatever is there; None where it is left out."""
        return self._body.get(name)

    def has(self, name: str) -> bool:
        """Whether it is given."""
        return self._body.get(name) is not None

    def _given(self, name: str, default: Any) -> Any:
        value = self._body.get(name)
        return default if value is None else value


def shown(value: Any) -> str:
    """A value as an error tells it, in at most 80 characters that every reply can hold."""
    if type(value) is int and abs(value) > 10**18:
        # To write an integer of a million digits takes long, and Python refuses it.
        return f"an integer of {int(value.bit_length() * math.log10(2)) + 1} digits"
    try:
        said = repr(value)
    except ValueError:
        said = "a value with an integer of thousands of digits in it"
    return said[:80].encode("utf-8", "replace").decode()


def _is_deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for group in inner for one in group if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def _refuse_constant(name: str) -> float:
    raise BadRequest(f"the body has a {name}, which JSON does not have")
