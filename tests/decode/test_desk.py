"""Calls that are handed in one by one: how many at a time, how long, and answers that are known."""

import errno
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.support.slow_tools import Down, Gate
from toolformer_ray.decode.desk import Ticket, ToolDesk
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.tools.asking.answer_store import AnswerOptions, AnswerStore, Mode, open_store
from toolformer_ray.tools.asking.outcome import FACTS, Call, Outcome
from toolformer_ray.tools.tool import Tool


def collect(desk: ToolDesk, number: int) -> dict[Ticket, Outcome]:
    done: dict[Ticket, Outcome] = {}
    while len(done) < number:
        desk.wait()
        for ticket, outcome in desk.answered():
            assert isinstance(outcome, Outcome)
            done[ticket] = outcome
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


def test_a_recording_answers_without_the_tool(tmp_path: Path) -> None:
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


class SlowStore(AnswerStore):
    """Of a disk that takes its time: reading ends when the test says so, for one input; so does writing failures."""

    def __init__(self, folder: Path, mode: Mode, slow_input: str) -> None:
        super().__init__(RunFolder(str(folder)), mode)
        self._slow_input, self.is_released = slow_input, threading.Event()
        self.failures_kept: list[Call] = []

    def look_up(self, calls: Mapping[Call, Tool]) -> dict[Call, Outcome]:
        if self._slow_input in [call.call_input for call in calls]:
            self.is_released.wait(30)
        return super().look_up(calls)

    def keep(self, call: Call, tool: Tool, outcome: Outcome) -> None:
        if outcome.status not in FACTS:
            self.is_released.wait(30)
            self.failures_kept.append(call)
        super().keep(call, tool, outcome)


def test_a_look_up_that_takes_long_is_waited_for_by_its_own_call_alone(tmp_path: Path) -> None:
    tool = Gate()
    tool.is_open.set()
    store = SlowStore(tmp_path, "cache", slow_input="1+1")
    desk = ToolDesk({"Calculator": tool}, store)
    slow, quick = desk.hand_in(Call("Calculator", "1+1")), desk.hand_in(Call("Calculator", "2+2"))
    assert {ticket: outcome.result for ticket, outcome in collect(desk, 1).items()} == {quick: "4"}
    assert (tool.inputs, desk.num_open) == (["2+2"], 1)
    store.is_released.set()
    assert {ticket: outcome.result for ticket, outcome in collect(desk, 1).items()} == {slow: "2"}


def test_a_failure_is_told_before_it_is_recorded_and_the_recording_is_whole_when_it_is_checked(tmp_path: Path) -> None:
    store = SlowStore(tmp_path, "record", slow_input="")
    desk = ToolDesk({"Calculator": Down(max_retries=0)}, store)
    call = Call("Calculator", "1+1")
    desk.hand_in(call)
    assert [outcome.status for outcome in collect(desk, 1).values()] == ["unavailable"]
    assert store.failures_kept == []
    threading.Timer(0.05, store.is_released.set).start()
    desk.check_recording()
    replayed = AnswerStore(RunFolder(str(tmp_path)), "replay").look_up({call: Gate()})
    assert (replayed[call].status, replayed[call].note) == ("unavailable", None)


def test_a_recording_that_cannot_be_written_is_an_error_when_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = ToolDesk({"Calculator": Down(max_retries=0)}, AnswerStore(RunFolder(str(tmp_path)), "record"))
    desk.hand_in(Call("Calculator", "1+1"))
    monkeypatch.setattr(RunFolder, "write_json", lambda *_: refuse_to_write())
    collect(desk, 1)
    with pytest.raises(OSError, match="No space left"):
        desk.check_recording()


def refuse_to_write() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_waking_before_waiting_is_not_lost() -> None:
    desk = ToolDesk({})
    desk.wake()
    desk.wait()
