"""Demonstrations of the user's own, from a text file.

One demonstration a line or, if the file has blank lines, between these. What comes first and holds no call is the
instruction. A demonstration has calls of its tool and no results, as the paper's have.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from toolformer_ray.records.calls import FoundCall, find_calls
from toolformer_ray.records.errors import OptionError, one_line


def read_demonstrations(path: str, tool: str) -> tuple[str | None, tuple[str, ...]]:
    """The instruction, if the file has one, and the demonstrations. Raises OptionError with the file and the line."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise OptionError("demonstrations", path, f"it cannot be read as text: {one_line(error)}") from error
    instruction, demonstrations = None, []
    for line, block in _blocks(text):
        calls = find_calls(block)
        if line == next(_blocks(text))[0] and not calls:
            instruction = block
            continue
        if fault := _fault(calls, tool):
            raise OptionError("demonstrations", path, f"line {line} {fault}")
        demonstrations.append(block)
    if not demonstrations:
        raise OptionError("demonstrations", path, f"it holds no text with a call such as [{tool}(...)]")
    return instruction, tuple(demonstrations)


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """What is one demonstration each, with the number of its first line."""
    has_blank_lines = re.search(r"\S[^\S\n]*\n[^\S\n]*\n[^\n]*\S", text) is not None
    block: list[str] = []
    for line, content in enumerate([*text.splitlines(), ""], 1):
        if content.strip():
            block.append(content.strip())
        if block and (not has_blank_lines or not content.strip()):
            yield line - len(block) + bool(content.strip()), "\n".join(block)
            block = []


def _fault(calls: list[FoundCall], tool: str) -> str | None:
    others = [call.tool for call in calls if call.tool != tool]
    if others:
        return f"calls {others[0]}, and these demonstrations are for {tool}"
    if any(call.result is not None for call in calls):
        return "has a call with a result; leave out the arrow and what follows it"
    return None if calls else f"has no call such as [{tool}(...)]"
