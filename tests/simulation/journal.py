"""Who did what: a file to which every worker of a simulated run adds a line when it opens, begins and ends.

The lines tell which shards a worker has in hand, and how often each shard was computed, whatever became of it.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Journal:
    """A file on a disk that all workers share; a line is one write, so lines of several processes do not mix."""

    path: str

    def note(self, what: str, **details: object) -> None:
        """Add a line."""
        line = {"what": what, "process": os.getpid(), "at": time.time(), **details}
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, json.dumps(line).encode() + b"\n")
        finally:
            os.close(file)

    def read(self) -> list[Mapping[str, Any]]:
        """All lines so far; a last one that is not whole yet is left out."""
        try:
            content = Path(self.path).read_bytes()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One computation of a shard at a stage."""

    stage: str
    shard: int
    process: int
    is_last: bool
    """Whether its worker began nothing after it: if the worker died, this is what it had in hand."""


def attempts(lines: Iterable[Mapping[str, Any]]) -> Iterator[Attempt]:
    """Every computation, in the order in which they began."""
    begun = [line for line in lines if line["what"] == "begin"]
    last = {line["process"]: number for number, line in enumerate(begun)}
    for number, line in enumerate(begun):
        process = line["process"]
        yield Attempt(stage=line["stage"], shard=line["shard"], process=process, is_last=last[process] == number)
