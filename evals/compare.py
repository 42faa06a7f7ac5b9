"""Pairs the questions that two results share, or the two ways of asking in one result.

Reads the Parquet files that `evaluate --out` writes, and the JSON beside each that says how it was made.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.evals.paired import Paired
from toolformer_ray.records.errors import UnusableError, one_line

COLUMNS = ("task", "with_tools", "prompt", "answers", "is_right")
_Key = tuple[str, tuple[str, ...], int]
"""A question by its prompt, its answers, and how often it was asked before in the same benchmark."""
_Answers = Mapping[tuple[str, bool], Mapping[_Key, bool]]
"""Whether each question is right, by benchmark and by whether tools were there."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One benchmark, in two ways."""

    task: str
    way: str
    """With tools, calls disabled, or the second against the first."""
    paired: Paired
    num_unshared: int
    """Questions that only one of the two was asked."""


def compare_results(first: Path, second: Path) -> list[Comparison]:
    """The benchmarks that both results have, with tools and without. Raises UnusableError if they share no question."""
    of_first, of_second = _by_way(read_results(first)), _by_way(read_results(second))
    found = [
        _compare(task, "with tools" if with_tools else "calls disabled", answers, of_second[task, with_tools])
        for (task, with_tools), answers in of_first.items()
        if (task, with_tools) in of_second
    ]
    shared = [each for each in found if each.paired.num_questions]
    if not shared:
        raise UnusableError(f"{first} and {second} share no question; compare results of the same benchmarks and data")
    return shared


def compare_ways(rows: Iterable[Mapping[str, Any]]) -> list[Comparison]:
    """Each benchmark of one result, first with calls disabled and then with tools."""
    answers = _by_way(rows)
    return [
        _compare(task, "tools against calls disabled", answers[task, False], with_tools)
        for (task, is_with), with_tools in answers.items()
        if is_with and (task, False) in answers
    ]


def differences(first: Path, second: Path) -> list[str]:
    """What the two results say of how they were made, where they differ, one line each."""
    before, after = (dict(_flat(_made_with(path))) for path in (first, second))
    names = dict.fromkeys([*before, *after])
    return [
        f"{name}: {before.get(name, 'not said')} and {after.get(name, 'not said')}"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _compare(task: str, way: str, first: Mapping[_Key, bool], second: Mapping[_Key, bool]) -> Comparison:
    shared = first.keys() & second.keys()
    return Comparison(
        task=task,
        way=way,
        paired=Paired.of((first[key], second[key]) for key in shared),
        num_unshared=len(first) + len(second) - 2 * len(shared),
    )


def read_results(path: Path) -> list[dict[str, Any]]:
    """The rows of a result. Raises UnusableError, one line, if it is none."""
    remedy = "give a file that `toolformer evaluate --out` wrote"
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise UnusableError(f"there is no file {path}; {remedy}") from error
    except (OSError, pa.ArrowException) as error:
        raise UnusableError(f"{path} cannot be read as results ({one_line(error)}); {remedy}") from error
    if not set(table.column_names) >= set(COLUMNS):
        raise UnusableError(f"{path} holds no results: its columns are {', '.join(table.column_names)}; {remedy}")
    return table.select(COLUMNS).to_pylist()


def _by_way(rows: Iterable[Mapping[str, Any]]) -> _Answers:
    found: dict[tuple[str, bool], dict[_Key, bool]] = {}
    seen = Counter[tuple[Any, ...]]()
    for row in rows:
        way, question = (row["task"], row["with_tools"]), (row["prompt"], tuple(row["answers"]))
        found.setdefault(way, {})[*question, seen[way, question]] = row["is_right"]
        seen[way, question] += 1
    return found


def _made_with(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    made_with = told.get("made_with") if isinstance(told, dict) else None
    return made_with if isinstance(made_with, dict) else {}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
