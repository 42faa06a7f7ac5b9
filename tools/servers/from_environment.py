"""Keys that the file of servers names and the environment holds, so that none is written in a file.

A value is `${VARIABLE}`, with a scheme before it where a header has one: `Bearer ${API_KEY}`.
"""

import os
import re
from collections.abc import Iterable, Mapping

from toolformer_ray.records.errors import UnusableError

_VALUE = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9-]* )?\$\{(?P<variable>[A-Za-z_][A-Za-z0-9_]*)\}")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHORTEST_SECRET = 4
"""Shorter values are not looked for in what a server says: they would be found in words that tell nothing."""


def is_reference(value: object) -> bool:
    """Whether a value is a variable's name in braces and not the secret itself."""
    return isinstance(value, str) and _VALUE.fullmatch(value) is not None


def resolve(value: str, where: str) -> str:
    """What the environment has for a reference. Raises UnusableError naming the place and the variable, no value."""
    match = _VALUE.fullmatch(value)
    if match is None:
        # The message does not repeat the value, which may be the secret itself.
        raise UnusableError(f"{where} is not of the form ${{VARIABLE}}; keys are read from the environment only")
    return (match["scheme"] or "") + variable(match["variable"], where)


def variable(name: str, where: str) -> str:
    """The value of a variable. Raises UnusableError if it is not set, or could end a header."""
    value = os.environ.get(name)
    if not value:
        raise UnusableError(f"{where} names the variable {name}, which is not set in the environment")
    if any(character in value for character in "\r\n\0"):
        raise UnusableError(f"{where} names the variable {name}, whose value has a line break")
    return value


def secrets(values: Iterable[str]) -> tuple[str, ...]:
    """The values of the variables that references name, longest first; of those not set, none."""
    names = [match["variable"] for value in values if (match := _VALUE.fullmatch(value))]
    found = {os.environ.get(name, "") for name in names}
    return tuple(sorted((value for value in found if len(value) >= SHORTEST_SECRET), key=len, reverse=True))


def without(text: str, hidden: Iterable[str]) -> str:
    """The text with stars in place of every secret."""
    for secret in hidden:
        text = text.replace(secret, "***")
    return text


def resolve_all(values: Mapping[str, str], where: str) -> dict[str, str]:
    """`resolve` for a table of the file."""
    return {name: resolve(value, f"{where}.{name}") for name, value in values.items()}


def check_set(names: Iterable[str], references: Mapping[str, str], where: str) -> None:
    """Raise UnusableError if a variable that is named, or named by a reference, is not set."""
    for name in names:
        variable(name, f"{where}.environment")
    resolve_all(references, f"{where}.headers")
