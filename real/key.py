"""Calls that a text is known to want: where each is due, and how far a run came with it.

A key is a file of JSON Lines, one for each document: `id`, and `calls`, each with `char_offset`, the place of the
result's first character in the text, and `result`. It is for measuring alone; no run reads it.

A call is near a due one if one of the five tokens whose loss it may lower touches the result there, and right if its
own result is the same: for numbers the same value, else the same text. A kept call also counts as right if its result
stands in the words that follow it, since a key names one way to reckon and a text may allow another.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.losses.weights import weighted_token_indices
from toolformer_ray.records.stages import Candidate, Document, Dropped, Scored

WORDS_AFTER = 4
"""In how many words behind a call its result has to stand, for the call to be right without a key."""
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?|[-+]?\.\d+")


@dataclass(frozen=True, kw_only=True)
class DueCall:
    """A result that a text needs, and where."""

    doc_id: str
    start: int
    """Of the result in the text, in code points."""
    end: int
    result: str


@dataclass(kw_only=True)
class Found:
    """How far a run came with the calls that were due, and with those that it kept."""

    due: int = 0
    placed: int = 0
    """Due calls with a chosen place near."""
    sampled: int = 0
    """Due calls with the right call among the answered ones near."""
    kept_due: int = 0
    """Due calls with the right call among the kept ones near."""
    kept: int = 0
    kept_right: int = 0


def read_key(path: Path) -> dict[str, list[DueCall]]:
    """The due calls of each document, by its id."""
    key: dict[str, list[DueCall]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        key[entry["id"]] = [
            DueCall(
                doc_id=entry["id"],
                start=call["char_offset"],
                end=call["char_offset"] + len(call["result"]),
                result=call["result"],
            )
            for call in entry["calls"]
        ]
    return key


def compare(
    key: Mapping[str, Sequence[DueCall]],
    documents: Iterable[Document],
    drops: Iterable[Dropped],
    scored: Iterable[Scored],
    tokenizer: TextTokenizer,
    tool: str,
) -> Found:
    """What became of the due calls of a tool in a run. Documents that were cut count only if they are whole."""
    found = Found()
    rows, places = _by_text(row for row in scored if row.tool == tool), _places(drops, tool)
    for document in documents:
        due_calls = key.get(document.doc_id, ()) if document.part == 0 else ()
        offsets = [*tokenizer.places(document.text).char_offsets, len(document.text)]
        calls = rows.get(document.text_id, [])
        reached = {row.char_offset: _reach(row.char_offset, offsets) for row in calls}
        reached |= {place: _reach(place, offsets) for place in places.get(document.text_id, ())}
        for due in due_calls:
            near = {place for place, (start, end) in reached.items() if start < due.end and end > due.start}
            right = [row for row in calls if row.char_offset in near and is_same(row.result, due.result)]
            found.due += 1
            found.placed += bool(near)
            found.sampled += bool(right)
            found.kept_due += any(row.is_kept for row in right)
        for row in calls:
            if row.is_kept:
                found.kept += 1
                found.kept_right += is_right(row, document.text, due_calls, reached[row.char_offset])
    return found


def is_right(row: Scored, text: str, due_calls: Iterable[DueCall], reach: tuple[int, int]) -> bool:
    """Whether the result stands in the words that follow, or a key says that it is due there."""
    start, end = reach
    following = " ".join(text[row.char_offset :].split()[:WORDS_AFTER])
    if any(is_same(row.result, number) for number in _NUMBER.findall(following)) or (row.result or "\0") in following:
        return True
    return any(start < due.end and end > due.start and is_same(row.result, due.result) for due in due_calls)


def is_same(result: str | None, expected: str) -> bool:
    """Whether two results are the same number, to three digits behind the point, or the same text.

    >>> is_same("0.20", "0.2"), is_same("1,240", "1240"), is_same("8", "9"), is_same(None, "9")
    (True, True, False, False)
    """
    if result is None:
        return False
    ours, theirs = _value(result), _value(expected)
    if ours is None or theirs is None:
        return result.strip() == expected.strip()
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=5e-3)


def _value(text: str) -> float | None:
    stripped = text.strip().replace("$", "")
    return float(stripped.replace(",", "")) if _NUMBER.fullmatch(stripped) else None


def _reach(place: int, offsets: Sequence[int]) -> tuple[int, int]:
    """From where to where the tokens lie, in code points, whose loss a call at a place may lower."""
    first = offsets.index(place)
    return place, offsets[weighted_token_indices(first, len(offsets) - 1)[-1] + 1]


def _by_text(rows: Iterable[Scored]) -> dict[str, list[Scored]]:
    found: dict[str, list[Scored]] = {}
    for row in rows:
        found.setdefault(row.text_id, []).append(row)
    return found


def _places(drops: Iterable[Dropped | Candidate], tool: str) -> dict[str, set[int]]:
    """Where something was dropped that had been sampled: these places were chosen too."""
    found: dict[str, set[int]] = {}
    for drop in drops:
        if drop.tool == tool and drop.char_offset is not None:
            found.setdefault(drop.text_id, set()).add(drop.char_offset)
    return found
