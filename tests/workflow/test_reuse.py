"""What a stage computes and what it takes over, with three calls and a stage that is one line; without Ray."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rows import make_row
from toolformer_ray.losses.options import FilterOptions
from toolformer_ray.records.stages import Candidate, Dropped, Executed
from toolformer_ray.workflow.pipeline import PIPELINE, renew_answer
from toolformer_ray.workflow.shard.reuse import AS_A_WHOLE, Compute, Earlier, Order, PerCall, PerTool, StageOutput

CALLS = [make_row(Candidate, text_id=f"{number}-0", tool="Add", call_input=f"{number}+0") for number in range(3)]
ANSWERS = [make_row(Executed, **vars(call)) for call in CALLS]
DROP = make_row(Dropped, text_id="1-0", tool="Add", reason="not_wanted", count=1)
_, PROPOSE, EXECUTE, *_ = PIPELINE


def complete(compute: Compute, earlier: Earlier) -> StageOutput:
    opened = SimpleNamespace(options=SimpleNamespace(filter=FilterOptions(filter="paper")), tools={})
    order = Order(stage="execute", tools=["Add"], opened=opened)
    return PerCall(renew_answer).complete(order, [CALLS], earlier, compute)


def test_calls_that_a_stage_drops_are_dropped_rows_and_the_others_stay_in_order() -> None:
    def compute(tables: Sequence[list[Any]], _: Sequence[str]) -> StageOutput:
        assert tables == [[CALLS[0], CALLS[1]]]  # the answer to the last call is taken over
        return [ANSWERS[0]], [DROP]

    assert complete(compute, Earlier(tools=["Add"], rows=[ANSWERS[2]])) == ([ANSWERS[0], ANSWERS[2]], [DROP])


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (lambda: (ANSWERS[:2], []), "execute made 2 rows and dropped 0 of 3 calls"),
        (lambda: ([*ANSWERS, ANSWERS[0]], []), "execute made 4 rows and dropped 0 of 3 calls"),
        (lambda: (ANSWERS, [DROP]), "execute made 3 rows and dropped 1 of 3 calls"),
        (lambda: ([*ANSWERS[:2], replace(ANSWERS[2], call_input="9+9")], []), "one row with its text_id, tool"),
    ],
)
def test_a_stage_that_loses_or_adds_a_call_is_told_so(output: Callable[[], StageOutput], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        complete(lambda *_: output(), Earlier())


def test_a_stage_whose_rows_are_taken_over_by_tool_needs_settings_by_tool() -> None:
    for stage in (PROPOSE, EXECUTE):
        with pytest.raises(ValueError, match=f"{stage.name} takes rows over by tool or by call: give its `tool_set"):
            replace(stage, tool_settings=None)
        replace(stage, tool_settings=None, reuse=AS_A_WHOLE)


def test_rows_are_taken_over_by_tool_only_where_texts_are_read_first() -> None:
    with pytest.raises(ValueError, match="execute takes rows over by tool: let it read a table of texts first"):
        replace(EXECUTE, reuse=PerTool())
