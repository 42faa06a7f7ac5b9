"""The file of functions that a model wrote (TOML): what `toolformer promote` writes and `--tools python:FILE` reads.

[price]                                            # the key of its options, and `Price` in calls
source = "price = lambda n: n * 4 + 2"             # one function, run in the sandbox of Python alone
description = "Gives n * 4 + 2 for n."
instruction = "…"                                  # both may be edited, or left out
demonstrations = ["A ride of 3 miles costs [Price(n=3)] 14 dollars."]
examples = [["n=3", "14"]]
told = "…"                                         # why it is here; not read
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolformer_ray.records.errors import UnusableError, explain, one_line
from toolformer_ray.tools.backends.functions import WrittenFunction, read_function
from toolformer_ray.tools.tool import BadInput

LARGEST_FILE = 1_000_000
_TEXTS = ("source", "description", "instruction", "told")
_KEYS = (*_TEXTS, "demonstrations", "examples")


@dataclass(frozen=True, kw_only=True)
class PromotedFunction:
    """One entry of the file."""

    name: str
    """Of the function, and of the entry."""
    source: str
    description: str = ""
    instruction: str = ""
    demonstrations: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    told: str = ""

    @property
    def function(self) -> WrittenFunction:
        """Its source, read. Raises BadInput for what is no function that can be a tool."""
        return read_function(self.source, self.name)


def read_functions(path: str) -> list[PromotedFunction]:
    """All functions of a file. Raises UnusableError, one line that names the file and what is wrong in it."""
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise UnusableError(f"{path}: it has more than {LARGEST_FILE:,} bytes; correct the path")
        entries = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnusableError(f"{path}: there is no such file; correct the path") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnusableError(f"{path}: it cannot be read as TOML ({one_line(error)})") from error
    if not entries:
        raise UnusableError(f"{path}: it holds no function")
    return [_read(path, name, entry) for name, entry in entries.items()]


def write_functions(path: Path, functions: Sequence[PromotedFunction]) -> None:
    """Write the file. Raises UnusableError if that cannot be done."""
    lines: list[str] = ["# Functions that a model wrote; each is run in the sandbox of Python, and nowhere else."]
    for function in functions:
        lines.append(f"\n[{function.name}]")
        lines += [f"{key} = {_toml(getattr(function, key))}" for key in _KEYS if getattr(function, key)]
    try:
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError as error:
        raise UnusableError(f"{path}: it cannot be written ({explain(error)})") from error


def _read(path: str, name: str, entry: object) -> PromotedFunction:
    where = f"{path}: {name}"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("source"), str):
        raise UnusableError(f"{where} has no `source`")
    if unknown := next((key for key in entry if key not in _KEYS), None):
        raise UnusableError(f"{where} has {unknown}, which is none of {', '.join(_KEYS)}")
    demonstrations, examples = entry.get("demonstrations", []), entry.get("examples", [])
    are_texts = all(isinstance(entry.get(key, ""), str) for key in _TEXTS) and _are_texts(demonstrations)
    if not are_texts or not isinstance(examples, list) or not all(_are_texts(each, 2) for each in examples):
        raise UnusableError(f"{where} has a value that is no text, or no list of texts")
    found = PromotedFunction(
        name=name,
        **{key: entry.get(key, "") for key in _TEXTS},
        demonstrations=tuple(demonstrations),
        examples=tuple((call_input, answer) for call_input, answer in examples),
    )
    try:
        found.function  # noqa: B018  reading it tells what is wrong
    except BadInput as error:
        raise UnusableError(f"{where} cannot be a tool: {error}") from error
    return found


def _are_texts(value: object, size: int | None = None) -> bool:
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return is_list and (size is None or len(value) == size)  # type: ignore[arg-type]


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # A basic string is escaped as in JSON, but for one control character, which JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
