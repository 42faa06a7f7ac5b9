from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import make_row
from tests.support.small_world import make_document
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.records.calls import remove_calls
from toolformer_ray.records.stages import Document, Scored


def scored(document: Document, char_offset: int, reduction: float, **columns: object) -> Scored:
    place = {"text_id": document.text_id, "char_offset": char_offset, "token_index": 0}
    losses = {"loss_with_call": 2.0, "loss_with_result": 2.0 - reduction, "loss_reduction": reduction}
    return make_row(Scored, **place | losses | columns)


TEXT = make_document("2 and 3 is 5 apples")


@pytest.mark.paper("I1")
def test_a_kept_call_stands_before_its_token_and_its_space() -> None:
    ((row,), drops) = interleave([scored(TEXT, 10, 1.5)], [TEXT])
    assert row.text == "2 and 3 is [Add(2+3) -> 5] 5 apples"
    assert (row.text_id, row.doc_id, row.num_calls, drops) == (TEXT.text_id, TEXT.doc_id, 1, [])
    (call,) = row.calls
    assert (call.tool, call.call_input, call.result, call.char_offset) == ("Add", "2+3", "5", 10)
    assert call.loss_reduction == 1.5


@pytest.mark.paper("I2")
def test_calls_of_several_tools_stand_in_the_order_of_the_text() -> None:
    calls = [
        scored(TEXT, 12, 1.0, tool="MT", call_input='"x"', result="y"),
        scored(TEXT, 0, 1.0),
        scored(TEXT, 19, 2.0),
    ]
    ((row,), _) = interleave(calls, [TEXT])
    assert row.text == ' [Add(2+3) -> 5]2 and 3 is 5 [MT("x") -> y] apples [Add(2+3) -> 5]'
    assert [call.char_offset for call in row.calls] == [0, 12, 19]


def test_a_text_without_a_kept_call_has_no_row_and_the_others_keep_their_order() -> None:
    other, third = make_document("other"), make_document("third")
    calls = [scored(third, 0, 1.0), scored(other, 0, 1.0, is_kept=False), scored(TEXT, 0, 1.0)]
    rows, drops = interleave(calls, [TEXT, other, third])
    assert [row.text_id for row in rows] == [TEXT.text_id, third.text_id] and drops == []


@pytest.mark.paper("I4")
def test_of_two_calls_at_one_place_the_one_that_lowers_the_loss_more_stays() -> None:
    calls = [scored(TEXT, 10, 1.0), scored(TEXT, 10, 1.5, tool="MT", call_input='"x"', result="y")]
    ((row,), (drop,)) = interleave(calls, [TEXT])
    assert row.text == '2 and 3 is [MT("x") -> y] 5 apples'
    assert (drop.stage, drop.reason, drop.text_id, drop.tool) == ("interleave", "same_place", TEXT.text_id, "Add")
    assert (drop.char_offset, drop.detail, drop.count) == (10, " [Add(2+3) -> 5]", 1)


def test_of_two_that_lower_it_equally_the_alphabet_decides_whatever_their_order() -> None:
    calls = [scored(TEXT, 10, 1.0, tool=tool, call_input=text) for tool, text in [("B", "1"), ("A", "2"), ("A", "1")]]
    for order in (calls, calls[::-1]):
        ((row,), drops) = interleave(order, [TEXT])
        assert [(call.tool, call.call_input) for call in row.calls] == [("A", "1")]
        assert [(drop.tool, drop.detail) for drop in drops] == [("A", " [A(2) -> 5]"), ("B", " [B(1) -> 5]")]


@pytest.mark.paper("I3")
@given(
    st.one_of(st.text(), st.just("It says [Calculator(1+1) -> 2] here \0 e\u0301 שלום")),
    st.lists(st.tuples(st.floats(0, 1), st.integers(1, 3), st.sampled_from(["Add", "MT"])), min_size=1, max_size=6),
)
def test_removing_the_calls_of_a_row_gives_back_the_document(text: str, calls: list[tuple[float, int, str]]) -> None:
    document = make_document(text)
    rows = [scored(document, int(share * len(text)), float(gain), tool=tool) for share, gain, tool in calls]
    ((augmented,), drops) = interleave(rows, [document])
    assert remove_calls(augmented.text, augmented.calls) == text
    assert augmented.num_calls == len(augmented.calls) == len({row.char_offset for row in rows})
    assert augmented.num_calls + len(drops) == len(rows)


def test_a_kept_row_without_a_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="is kept without a loss reduction"):
        interleave([scored(TEXT, 0, 1.0, loss_reduction=None)], [TEXT])


def test_a_call_stands_only_behind_all_calls_that_it_needs() -> None:
    define = scored(TEXT, 2, 1.0, call_input="f = 1")
    use = scored(TEXT, 10, 1.0, call_input="f", needs=("f = 1",))
    use_again = scored(TEXT, 12, 1.0, call_input="f + 1", needs=("f = 1", "f"))
    ((row,), drops) = interleave([use_again, use, define], [TEXT])
    assert [call.call_input for call in row.calls] == ["f = 1", "f", "f + 1"] and drops == []

    others = [scored(TEXT, 2, 2.0, call_input="better"), replace(define, is_kept=False), scored(TEXT, 14, 1.0)]
    for lacking in ([replace(define, tool="B")], [replace(define, char_offset=11)], [define, others[0]], others[1:]):
        (rows, drops) = interleave([use, use_again, *lacking], [TEXT])
        assert {call.call_input for row in rows for call in row.calls} & {"f", "f + 1"} == set()
        lost = [drop.detail for drop in drops if drop.reason == "definition_not_kept"]
        assert lost == [" [Add(f) -> 5]", " [Add(f + 1) -> 5]"]


def test_at_a_place_a_call_whose_needs_are_met_wins_over_a_better_one_that_lacks_them() -> None:
    lacking = scored(TEXT, 10, 3.0, call_input="f", needs=("f = 1",))
    ((row,), (drop,)) = interleave([lacking, scored(TEXT, 10, 1.0)], [TEXT])
    assert [call.call_input for call in row.calls] == ["2+3"]
    assert drop.reason == "definition_not_kept"
