"""Counts of one shard, kept in its Parquet footer so that a run can be summed up without reading a row.

A name is `what` or `what.detail.tool`: `rows`, `dropped.not_offered.Calculator`, `places.Calculator`,
`calls.Calculator`, `status.ok.Calculator`, `kept.Calculator`, `inserted.Calculator`.

What was pruned is `dropped.loss_already_low.…` (places), `dropped.loss_already_low_with_call.…` (calls, before the tool
was asked) and `lost_at_once.…` (calls whose L+ said enough). With a screen there are `screened.passed.…`,
`screened.control.…`, `screened.left_out.…`, and `screened_kept.…` of those kept. How long tools took is
`latency.<bucket>.…` (workflow/shard/latency.py); `from_cache.…` are calls whose answer was known. Neither is part of
a shard's content.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from toolformer_ray.records.stages import Augmented, Candidate, Dropped, Executed, Scored
from toolformer_ray.workflow.shard.latency import latency_count, was_asked


def count_rows(stage: str, rows: Sequence[Any], drops: Sequence[Dropped]) -> dict[str, int]:
    """The counts of one stage's output for one shard."""
    counts = Counter({"rows": len(rows)})
    for drop in drops:
        counts[f"dropped.{drop.reason}.{drop.tool}" if drop.tool else f"dropped.{drop.reason}"] += drop.count
    if stage == "propose":
        counts.update(f"places.{tool}" for tool, _, _ in _distinct_places(rows, drops))
    counts.update(name for row in rows for name in _names(row))
    return dict(counts)


def _distinct_places(candidates: Sequence[Candidate], drops: Sequence[Dropped]) -> set[tuple[str, str, int]]:
    """Every place that was chosen, whether or not a call came of it."""
    places = {(row.tool, row.text_id, row.char_offset) for row in candidates}
    return places | {(d.tool, d.text_id, d.char_offset) for d in drops if d.tool and d.char_offset is not None}


def _names(row: object) -> Iterator[str]:
    # From the most derived class down: a Scored row is an Executed and a Candidate too, and is counted once.
    match row:
        case Scored():
            if row.is_kept:
                yield f"kept.{row.tool}"
            if row.loss_with_result is not None and row.loss_with_call is None:
                yield f"lost_at_once.{row.tool}"
            if row.screening:
                yield f"screened.{row.screening}.{row.tool}"
            if row.screening and row.is_kept:
                yield f"screened_kept.{row.screening}.{row.tool}"
        case Executed():
            yield from _names_of_answer(row)
        case Candidate():
            yield f"calls.{row.tool}"
        case Augmented():
            yield from (f"inserted.{call.tool}" for call in row.calls)


def _names_of_answer(row: Executed) -> Iterator[str]:
    yield f"status.{row.status}.{row.tool}"
    if row.note:
        yield f"note.{row.note}.{row.tool}"
    if row.from_cache:
        yield f"from_cache.{row.tool}"
    if was_asked(row):
        yield latency_count(row)
