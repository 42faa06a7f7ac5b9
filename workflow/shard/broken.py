"""A shard's output without the rows that break its stage, or of some rows alone to see whether they do.

A row that is left out becomes a row of `dropped`, with the reason `broken` and the error: a text one for each tool that
was to be proposed for it, a call one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from toolformer_ray.records.stages import Dropped
from toolformer_ray.workflow.shard.reuse import Compute, Earlier, Judge, Order, StageOutput, complete

BROKEN = "broken"


def complete_without(
    broken: Mapping[int, str],
    order: Order,
    inputs: Sequence[list[Any]],
    earlier: Earlier,
    compute: Compute,
    judge: Judge,
) -> StageOutput:
    """The stage's output without the rows of these numbers in its first table, and their errors among the drops."""
    if not broken:
        return complete(order, inputs, earlier, compute, judge)
    first, others = inputs[0], inputs[1:]
    if order.stage != "propose":
        rows, drops = complete(order, [_without(broken, first), *others], earlier, compute, judge)
        left_out = [_drop(order.stage, first[number], first[number].tool, broken[number]) for number in sorted(broken)]
        return rows, [*drops, *left_out]

    def spare(stage: str, given: Sequence[list[Any]], wanted: Collection[str]) -> StageOutput:
        # What an earlier output holds of these texts for other tools stays.
        rows, drops = compute(stage, [_without(broken, first), *given[1:]], wanted)
        left_out = [
            _drop(stage, first[number], tool, broken[number]) for number in sorted(broken) for tool in wanted or (None,)
        ]
        return rows, [*drops, *left_out]

    return complete(order, inputs, earlier, spare, judge)


def complete_only(
    rows: Sequence[int],
    order: Order,
    inputs: Sequence[list[Any]],
    earlier: Earlier,
    compute: Compute,
    judge: Judge,
) -> StageOutput:
    """What the stage makes of the rows of these numbers in its first table; of none, nothing is computed."""
    if not rows:
        return [], []
    tried = [inputs[0][number] for number in rows]
    texts = {row.text_id for row in tried}
    held = replace(
        earlier,
        rows=[row for row in earlier.rows if row.text_id in texts],
        drops=[drop for drop in earlier.drops if drop.text_id in texts],
    )
    return complete(order, [tried, *inputs[1:]], held, compute, judge)


def _without(broken: Mapping[int, str], rows: Sequence[Any]) -> list[Any]:
    return [row for number, row in enumerate(rows) if number not in broken]


def _drop(stage: str, row: Any, tool: str | None, error: str) -> Dropped:
    return Dropped(
        stage=stage,
        reason=BROKEN,
        text_id=row.text_id,
        tool=tool,
        char_offset=getattr(row, "char_offset", None),
        detail=error,
        count=1,
    )
