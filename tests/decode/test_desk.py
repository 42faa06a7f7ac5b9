"""Calls that are handed in one by one: how many at a time, how long, and answers that are known."""

from collections.abc import Callable

import pytest

from decode.desk import Ticket, ToolDesk
from tests.decode.slow_tools import Down, Gate
from tools.answer_store import AnswerOptions, open_store
from tools.outcome import Call, Outcome


def collect(desk: ToolDesk, number: int) -> dict[Ticket, Outcome]:
    done: dict[Ticket, Outcome] = {}
    while len(done) < number:
        desk.wait()
        done |= dict(desk.answered())
    return done


def test_no_more_calls_are_in_flight_than_the_tool_allows_and_the_rest_follow() -> None:
    tool = Gate(max_in_flight=2)
    desk = ToolDesk({"Calculator": tool})
    tickets = [desk.hand_in(Call("Calculator", f"1+{number}")) for number in range(5)]
    while len(tool.inputs) < 2:
        tool.asked.wait(30)
    assert sorted(tool.inputs) == ["1+0", "1+1"]
    assert desk.num_open == 5
    tool.is_open.set()
    done = collect(desk, 5)
    assert [done[ticket].result for ticket in tickets] == ["1", "2", "3", "4", "5"]
    assert desk.num_open == 0


def test_equal_calls_of_different_texts_have_an_answer_each() -> None:
    tool = Gate()
    tool.is_open.set()
    desk = ToolDesk({"Calculator": tool})
    tickets = [desk.hand_in(Call("Calculator", "1+1")) for _ in range(2)]
    assert [outcome.result for outcome in collect(desk, 2).values()] == ["2", "2"]
    assert len(set(tickets)) == 2


@pytest.mark.parametrize(
    ("make", "status"), [(lambda: Gate(timeout=0.05), "timeout"), (lambda: Down(max_retries=0), "unavailable")]
)
def test_a_call_without_an_answer_ends_all_the_same(make: Callable[[], Gate], status: str) -> None:
    tool = make()
    desk = ToolDesk({"Calculator": tool})
    desk.hand_in(Call("Calculator", "1+1"))
    [outcome] = collect(desk, 1).values()
    tool.is_open.set()
    assert (outcome.status, outcome.result) == (status, None)


def test_a_recording_answers_without_the_tool(tmp_path: pytest.TempPathFactory) -> None:
    tool = Gate()
    tool.is_open.set()
    desk = ToolDesk({"Calculator": tool}, open_store(AnswerOptions(record=str(tmp_path))))
    desk.hand_in(Call("Calculator", "1+1"))
    collect(desk, 1)
    silent = Gate()
    replayed = ToolDesk({"Calculator": silent}, open_store(AnswerOptions(replay=str(tmp_path))))
    known, unknown = (replayed.hand_in(Call("Calculator", call)) for call in ("1+1", "2+2"))
    done = collect(replayed, 2)
    assert (done[known].result, done[unknown].note, silent.inputs) == ("2", "not_recorded", [])


def test_waking_before_waiting_is_not_lost() -> None:
    desk = ToolDesk({})
    desk.wake()
    desk.wait()
