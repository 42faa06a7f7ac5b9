"""Three corpora cut from the demo's: `python -m toolformer_ray.miniature.mixes --world FOLDER`.

Reads `corpus.jsonl` and `truth.jsonl` of a world, and writes `mix-1.jsonl` to `mix-3.jsonl` beside them. Each has all
texts in which a call of one of its two tools is due, and of the others every eighth; so which tools pay differs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cyclopts

from toolformer_ray.miniature.demo_corpus import write_rows

WANTED = (("QA", "WikiSearch"), ("Calculator", "Calendar"), ("MT", "QA"))
"""The tools of each corpus."""
EVERY = 8
"""Of the texts that want none of them, one in so many is in it."""


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """Which world."""

    world: Path
    """The folder that `miniature.demo_corpus` wrote."""


def main(options: MixOptions) -> None:
    """Write the three files."""
    texts = list(_rows(options.world / "corpus.jsonl"))
    due = {row["id"]: {call["tool"] for call in row["due"]} for row in _rows(options.world / "truth.jsonl")}
    for number, wanted in enumerate(WANTED, 1):
        others = [row["id"] for row in texts if not due[row["id"]] & {*wanted}]
        left_out = {*others} - {*others[::EVERY]}
        write_rows(options.world / f"mix-{number}.jsonl", (row for row in texts if row["id"] not in left_out))


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    cyclopts.run(main)
