"""Decoys stand beside a call's result and depend on the call and its place alone."""

from dataclasses import replace

from tests.support.rows import make_row
from tests.support.small_world import Adder
from toolformer_ray.annotate.execute import with_decoys
from toolformer_ray.records.stages import Executed

TOOLS = {"Add": Adder()}
CALL = make_row(Executed, result="432", tool="Add")


def test_a_call_gets_as_many_decoys_as_are_needed_and_keeps_everything_else() -> None:
    row = with_decoys(CALL, TOOLS, 3)
    assert len(set(row.decoys)) == 3 and "432" not in row.decoys
    assert replace(row, decoys=()) == CALL
    assert with_decoys(row, TOOLS, 0) == CALL
    assert with_decoys(replace(CALL, result=None), TOOLS, 3).decoys == ()


def test_decoys_are_the_same_every_time_and_others_at_another_place() -> None:
    again = replace(CALL, seconds=9.0, from_cache=True, loss_without=1.0)
    assert with_decoys(again, TOOLS, 3).decoys == with_decoys(CALL, TOOLS, 3).decoys
    for other in ({"text_id": "t-1"}, {"char_offset": 7}, {"call_input": "1+1"}):
        assert with_decoys(replace(CALL, **other), TOOLS, 3).decoys != with_decoys(CALL, TOOLS, 3).decoys


def test_a_decoy_is_as_clean_as_a_result() -> None:
    class Bracketing(Adder):
        def decoys(self, result: str, key: str, num_decoys: int) -> list[str]:
            return ["[1]\n2", "", result]

    assert with_decoys(CALL, {"Add": Bracketing()}, 3).decoys == ("(1) 2",)
