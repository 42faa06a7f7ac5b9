"""The functions that a run's calls of Python wrote, each with the places where it was written.

Functions that are equal but for names are one (`tools.backends.functions`); it is called as it was called most often.
Only calls that were answered count: of the others nobody knows whether their function runs.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolformer_ray.records.stages import Scored
from toolformer_ray.tools.backends.functions import WrittenFunction, arguments_in_answer, functions_of, renamed
from toolformer_ray.tools.python import Python, program_of
from toolformer_ray.tools.servers.call_names import key_of, name_in_calls
from toolformer_ray.tools.tool import BadInput

MOST_TEACHERS = 5


@dataclass(frozen=True, kw_only=True)
class Writing:
    """One call that wrote the function."""

    row: Scored
    function: WrittenFunction
    arguments: Mapping[str, Any] | None
    """With which the call ends by calling it, if it does so with plain values."""


@dataclass(kw_only=True)
class Collected:
    """One function of the run."""

    writings: list[Writing] = field(default_factory=list)

    @property
    def texts(self) -> Collection[str]:
        """The ids of the texts in which it was written."""
        return {writing.row.text_id for writing in self.writings}

    @property
    def teachers(self) -> Collection[str]:
        """The texts that show how it is called, and count for nothing else: half of those that wrote it, one at least
        and MOST_TEACHERS at most, those first that kept the call."""
        ranked = sorted(self.writings, key=lambda writing: (not writing.row.is_kept, writing.row.text_id))
        texts = list(dict.fromkeys(writing.row.text_id for writing in ranked))
        return texts[: min(MOST_TEACHERS, max(1, len(texts) // 2))]

    @property
    def num_kept(self) -> int:
        """Calls that wrote it and were kept."""
        return sum(writing.row.is_kept for writing in self.writings)

    @property
    def function(self) -> WrittenFunction:
        """By the name that it was given most often, in its shortest writing."""
        names = Counter(writing.function.name for writing in self.writings)
        most = min(names, key=lambda name: (-names[name], name))
        named = (writing.function for writing in self.writings if writing.function.name == most)
        return min(named, key=lambda function: (len(function.source), function.source))


def collect_functions(rows: Iterable[Scored]) -> list[Collected]:
    """The functions, those first that were written in most texts, then those with most kept calls."""
    found: dict[str, Collected] = {}
    for row in rows:
        if row.tool != Python.name or row.status != "ok":
            continue
        try:
            program = program_of(row.call_input)
        except BadInput:
            continue  # A run whose option max_program was larger has such calls.
        for function in functions_of(program):
            writing = Writing(row=row, function=function, arguments=arguments_in_answer(program, function))
            found.setdefault(function.identity, Collected()).writings.append(writing)
    return [one for _, one in sorted(found.items(), key=lambda each: _rank(*each))]


def _rank(identity: str, one: Collected) -> tuple[int, int, int, str]:
    return -len(one.texts), -one.num_kept, -len(one.writings), identity


def named_apart(functions: Sequence[WrittenFunction], taken: Collection[str]) -> list[WrittenFunction]:
    """The functions with names that are told apart as keys of tools, also from those that are taken."""
    keys = set(taken)
    named = []
    for function in functions:
        own, number = function, 2
        while (key := key_of(name_in_calls(own.name, own.name))) in keys:
            own, number = renamed(function, f"{function.name}{number}"), number + 1
        keys.add(key)
        named.append(own)
    return named
