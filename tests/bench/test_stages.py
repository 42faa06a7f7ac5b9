"""The benches that run the real stages: what they call equal, and what they call the edge."""

import dataclasses

from bench.budgets import compare_rows, num_on_edge
from bench.documents import short_documents, stories
from records.stages import Scored

ROW = Scored(
    text_id="a-0",
    tool="Calculator",
    token_index=3,
    char_offset=9,
    open_probability=0.5,
    call_input="2 + 3",
    num_samples=1,
    loss_without=3.0,
    status="ok",
    result="5",
    seconds=0.25,
    from_cache=False,
    loss_with_call=2.5,
    loss_with_result=2.0,
    loss_reduction=0.5,
    input_sees_future=False,
    sees_future=False,
    is_kept=True,
)


def test_last_digits_and_a_tools_time_make_no_other_row() -> None:
    near = dataclasses.replace(ROW, loss_without=3.00005, seconds=9.0, from_cache=True)
    differ, gap = compare_rows([ROW], [near])
    assert differ == 0
    assert 4e-5 < gap < 6e-5


def test_another_number_another_verdict_and_a_missing_row_are_found() -> None:
    others = [
        dataclasses.replace(ROW, loss_without=3.001),
        dataclasses.replace(ROW, is_kept=False),
        dataclasses.replace(ROW, loss_with_call=None),
    ]
    assert [compare_rows([ROW], [other])[0] for other in others] == [1, 1, 1]
    assert compare_rows([ROW, ROW], [ROW])[0] == 1


def test_a_call_is_on_the_edge_by_its_reduction_or_by_the_most_that_it_could_be() -> None:
    pruned = dataclasses.replace(ROW, loss_with_call=None, loss_reduction=None, loss_with_result=2.4995)
    unanswered = dataclasses.replace(pruned, loss_with_result=None, result=None)
    far = dataclasses.replace(ROW, loss_reduction=0.502)
    assert num_on_edge([ROW, pruned, unanswered, far], 0.5) == 2


def test_documents_follow_from_their_numbers() -> None:
    assert short_documents(0, 4)[2:] == short_documents(2, 2)
    assert len({document.text_id for document in short_documents(0, 50)}) == 50
    assert stories(3) == stories(4)[:3]
