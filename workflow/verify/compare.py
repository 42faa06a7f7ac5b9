"""`python -m toolformer_ray.workflow.verify.compare RUN OTHER`: compares two runs, row by row in the order of the
corpus.

Shards may be cut differently. Numbers may differ by MAX_GAP, since the last digits of float32 depend on the shape of a
batch. All other columns have to be equal, except VOLATILE_COLUMNS. The exit code is 1 if the runs differ.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.shard_header import VOLATILE_COLUMNS
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.outputs import tables_of

MAX_GAP = 1e-4
LISTS_OF_NUMBERS = ("losses_of_decoys", "token_contrasts")
MAX_DIFFERENCES_SHOWN = 20
ROUNDED = "loss_already_low"
"""The reason whose detail is a rounded loss, of which the last digit may differ."""


@dataclass
class Comparison:
    """The result of comparing two runs."""

    rows: dict[str, int] = field(default_factory=dict)
    """Rows compared, per table."""
    largest_gap: float = 0.0
    """The largest difference between two numbers that may differ."""
    differences: list[str] = field(default_factory=list)


def compare_runs(one: str, other: str) -> Comparison:
    """Compare all tables of two runs. Raises ValueError if there is no run."""
    folders = open_run(one), open_run(other)
    comparison = Comparison()
    for table, record in tables_of(PIPELINE).items():
        pairs = zip_longest(*(_rows(folder, table, record) for folder in folders))
        for number, (row, its_other) in enumerate(pairs):
            comparison.rows[table] = number + 1
            if row is None or its_other is None:
                comparison.differences.append(f"{table}: only one of the runs has a row {number}")
                break
            found = _compare(vars(row), vars(its_other), comparison)
            comparison.differences += [f"{table} row {number}: {name}" for name in found]
    return comparison


def _rows(run: RunFolder, table: str, record: type[Record]) -> Iterator[Record]:
    for shard in run.shards(table):
        yield from run.read_shard(table, shard, record)


def _compare(row: dict[str, Any], other: dict[str, Any], comparison: Comparison) -> Iterator[str]:
    """The columns that differ, with both values."""
    for name, value in row.items():
        if name in VOLATILE_COLUMNS or (name == "detail" and row["reason"] == other["reason"] == ROUNDED):
            continue
        if name == "calls" and len(value) == len(other[name]):
            for call, its_other in zip(value, other[name], strict=True):
                yield from _compare(vars(call), vars(its_other), comparison)
        elif name in LISTS_OF_NUMBERS and len(value) == len(other[name]):
            for number, pair in enumerate(zip(value, other[name], strict=True)):
                one, its_other = ({f"{name}, number {number}": item} for item in pair)
                yield from _compare(one, its_other, comparison)
        elif isinstance(value, float) and isinstance(other[name], float):
            gap = abs(value - other[name])
            comparison.largest_gap = max(comparison.largest_gap, gap)
            if not gap <= MAX_GAP:
                yield f"{name} is {value} and {other[name]}"
        elif value != other[name]:
            yield f"{name} is {value!r} and {other[name]!r}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two runs and say what differs; 0 if nothing does."""
    parser = argparse.ArgumentParser(
        prog="python -m toolformer_ray.workflow.verify.compare", description="Are two runs the same?"
    )
    parser.add_argument("run", help="a run folder")
    parser.add_argument("other", help="another")
    asked = parser.parse_args(arguments)
    try:
        comparison = compare_runs(asked.run, asked.other)
    except ValueError as error:
        print(f"compare_runs: {error}", file=sys.stderr)
        return 2
    counts = ", ".join(f"{number:,} of {table}" for table, number in comparison.rows.items())
    for difference in comparison.differences[:MAX_DIFFERENCES_SHOWN]:
        print(difference)
    verdict = f"{len(comparison.differences):,} differences" if comparison.differences else "the same rows"
    print(f"{verdict}; compared {counts}; numbers differ by {comparison.largest_gap:.1g} at most")
    return 1 if comparison.differences else 0


if __name__ == "__main__":
    sys.exit(main())
