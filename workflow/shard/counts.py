"""What is counted of the outputs of each stage (`records.counts`)."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from toolformer_ray.losses.false_share import count_chance
from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import BROKEN, Augmented, Candidate, Dropped, Executed, Scored
from toolformer_ray.workflow.shard.stage import Stage

NOT_ASKED = ("not_asked", "not_recorded")
"""Notes of calls for which no tool was asked."""


def count_output(stage: Stage, rows: Sequence[Record], drops: Sequence[Dropped]) -> Counter[Count]:
    """All counts of an output, which are not part of its content."""
    counts = Counter({ROWS: len(rows)})
    for drop in drops:
        counts[Count("dropped", drop.reason, drop.tool or "")] += drop.count
    if stage.counts:
        counts.update(stage.counts(rows, drops))
    return counts


def count_candidates(candidates: Sequence[Candidate], drops: Sequence[Dropped]) -> Counter[Count]:
    """`calls`, those of them that were `moved` to another token border, and the `places` that were chosen, whether or
    not a call was sampled there."""
    places = {(row.tool, row.text_id, row.char_offset) for row in candidates}
    places |= {(d.tool, d.text_id, d.char_offset) for d in drops if d.tool and d.char_offset is not None}
    counts = Counter(Count("places", tool=tool) for tool, *_ in places)
    counts.update(Count("calls", tool=row.tool) for row in candidates)
    counts.update(Count("moved", tool=row.tool) for row in candidates if row.proposed_offset is not None)
    return counts


def count_answers(executed: Sequence[Executed], _: Sequence[Dropped]) -> Counter[Count]:
    """Calls by `status` and by `note`; calls `from_cache`; calls that the tool was `asked`, and the `microseconds`
    that it took for them."""
    counts: Counter[Count] = Counter()
    seconds: dict[str, float] = {}
    for row in executed:
        counts[Count("status", row.status, row.tool)] += 1
        if row.note:
            counts[Count("note", row.note, row.tool)] += 1
        if row.from_cache:
            counts[Count("from_cache", tool=row.tool)] += 1
        if was_asked(row):
            counts[Count("asked", tool=row.tool)] += 1
            seconds[row.tool] = seconds.get(row.tool, 0.0) + row.seconds
    return counts + Counter({Count("microseconds", tool=tool): round(1e6 * time) for tool, time in seconds.items()})


def was_asked(row: Executed) -> bool:
    """Whether the tool was asked for this row: the answer was not known, and the tool was not down."""
    return not row.from_cache and row.note not in NOT_ASKED


def count_verdicts(scored: Sequence[Scored], _: Sequence[Dropped]) -> Counter[Count]:
    """Calls `kept`; calls `lost_at_once`, by L+ alone; with decoys what tells the false share, `chance` by the fields
    of `losses.false_share.Chance`."""
    counts: Counter[Count] = Counter()
    for row in scored:
        if row.is_kept:
            counts[Count("kept", tool=row.tool)] += 1
        if row.loss_with_result is not None and row.loss_with_call is None:
            counts[Count("lost_at_once", tool=row.tool)] += 1
    for tool in {row.tool for row in scored if row.contrast is not None}:
        chance = count_chance(row for row in scored if row.tool == tool)
        counts.update({Count("chance", what, tool): number for what, number in vars(chance).items() if number})
    return counts


def count_inserted(augmented: Sequence[Augmented], _: Sequence[Dropped]) -> Counter[Count]:
    """Calls `inserted` into C*."""
    return Counter(Count("inserted", tool=call.tool) for row in augmented for call in row.calls)


def num_broken(counts: Mapping[Count, int]) -> int:
    """Rows that a stage dropped since they broke it, of all tools."""
    return sum(number for name, number in counts.items() if name[:2] == ("dropped", BROKEN))


def num_with_status(counts: Mapping[Count, int], statuses: Collection[str]) -> int:
    """Calls with one of these statuses, of all tools."""
    return sum(number for name, number in counts.items() if name.what == "status" and name.detail in statuses)
