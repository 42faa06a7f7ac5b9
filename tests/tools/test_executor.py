"""Every call has an outcome, in a batch or submitted by itself, and none delays the others."""

import datetime
import errno
import logging
import threading
import time
from pathlib import Path

import pytest

from tests.support.rows import make_row
from tests.support.slow_tools import Down, Gate, Scripted, fail, run
from toolformer_ray.annotate.execute import execute
from toolformer_ray.records.calls import MAX_RESULT_CHARS
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import STATUSES, Candidate, Document, is_note
from toolformer_ray.tools.asking.answer_store import AnswerStore, Mode
from toolformer_ray.tools.asking.call import FACTS, Call, Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.asking.tool_queue import PendingCall
from toolformer_ray.tools.calendar import Calendar
from toolformer_ray.tools.tool import Tool


@pytest.mark.paper("C9")
@pytest.mark.parametrize(
    ("call_input", "status", "result"),
    [
        ("fine", "ok", "FINE"),
        ("nothing", "empty", None),
        ("blank", "empty", None),
        ("bad", "bad_input", None),
        ("away", "unavailable", None),
        ("broken", "crashed", None),
        ("deep", "crashed", None),
        ("full", "crashed", None),
        ("none", "crashed", None),
    ],
)
def test_every_outcome_is_a_status(call_input: str, status: str, result: str | None) -> None:
    (outcome,) = run(Scripted(fail), [call_input])
    assert (outcome.status, outcome.result) == (status, result)
    assert status in STATUSES


def test_outcomes_come_in_the_order_of_the_calls() -> None:
    inputs = [f"call {n}" for n in range(500)]
    assert [outcome.result for outcome in run(Scripted(fail), inputs)] == [text.upper() for text in inputs]


def test_equal_calls_are_run_once_and_the_others_copy_the_first() -> None:
    tool = Scripted(fail)
    outcomes = run(tool, ["a", "b", "a", "broken", "a", "broken"])
    assert sorted(tool.seen) == ["a", "b", "broken"]
    assert [outcome.from_cache for outcome in outcomes] == [False, False, True, False, True, True]
    assert [outcome.result for outcome in outcomes] == ["A", "B", "A", None, "A", None]
    assert [outcome.seconds == 0 for outcome in outcomes] == [False, False, True, False, True, True]


def test_inputs_are_equal_only_to_the_letter() -> None:
    tool = Scripted(fail)
    run(tool, ["a", "a ", '"a"', "A"])
    assert len(tool.seen) == 4


def test_a_tool_that_reads_today_is_asked_once_a_day_the_others_once() -> None:
    days = [datetime.date(2017, 6, 5), datetime.date(2017, 6, 6), datetime.date(2017, 6, 5)]
    scripted = Scripted(fail)
    executor = ToolExecutor({"Calendar": Calendar(), "Scripted": scripted})
    outcomes = executor.run([("Calendar", "", day) for day in days] + [("Scripted", "a", day) for day in days])
    assert [outcome.result for outcome in outcomes[:3]] == [
        "Today is Monday, June 5, 2017.",
        "Today is Tuesday, June 6, 2017.",
        "Today is Monday, June 5, 2017.",
    ]
    assert [outcome.from_cache for outcome in outcomes] == [False, False, True, False, True, True]


@pytest.mark.paper("C9")
def test_results_are_cleaned_and_cut() -> None:
    (outcome,) = run(Scripted(lambda _: "a [b]\n" + "x" * 100_000), ["any"])
    assert outcome.result is not None
    assert outcome.result.startswith("a (b) xxx")
    assert len(outcome.result) == MAX_RESULT_CHARS


class Room:
    """Counts the calls that are inside at once. Each stays until the room was full, and then for one too many."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.inside, self.most = capacity, 0, 0
        self.lock, self.is_full, self.is_crowded = threading.Lock(), threading.Event(), threading.Event()

    def answer(self, call_input: str) -> str:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside >= self.capacity:
                self.is_full.set()
            if self.inside > self.capacity:
                self.is_crowded.set()
        self.is_full.wait(10)
        self.is_crowded.wait(0.05)
        with self.lock:
            self.inside -= 1
        return call_input


@pytest.mark.parametrize("max_in_flight", [1, 3])
def test_as_many_calls_are_in_flight_as_the_tool_allows_and_no_more(max_in_flight: int) -> None:
    room = Room(max_in_flight)
    outcomes = run(Scripted(room.answer, max_in_flight=max_in_flight), ["a", "b", "c", "d", "e"])
    assert [outcome.status for outcome in outcomes] == ["ok"] * 5
    assert room.most == max_in_flight


def test_a_tool_that_answers_one_call_at_a_time_is_never_asked_twice_at_once() -> None:
    room = Room(1)
    tool = Scripted(room.answer, max_in_flight=8)
    tool.one_at_a_time = True
    assert [outcome.status for outcome in run(tool, ["a", "b", "c"])] == ["ok"] * 3
    assert room.most == 1


def test_no_calls_have_no_outcomes_and_an_unknown_tool_is_an_error_of_the_caller() -> None:
    assert ToolExecutor({}).run([]) == execute([], [], ToolExecutor({})) == []
    with pytest.raises(KeyError):
        ToolExecutor({}).run([("Nobody", "", None)])


def test_the_first_crash_of_a_kind_is_logged_and_not_the_thousandth(caplog: pytest.LogCaptureFixture) -> None:
    def crash(call_input: str) -> str:
        raise ZeroDivisionError(call_input)

    with caplog.at_level(logging.WARNING):
        run(Scripted(crash, max_in_flight=1), [str(n) for n in range(100)])
    assert [record.getMessage() for record in caplog.records] == ["Scripted failed on '0': ZeroDivisionError('0')"]


def test_thousands_of_calls_a_second_go_through() -> None:
    started = time.perf_counter()
    run(Scripted(fail), [str(n) for n in range(5_000)])
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("answer", "result", "note"),
    [
        ("x" * MAX_RESULT_CHARS, "x" * MAX_RESULT_CHARS, None),
        ("x" * (MAX_RESULT_CHARS + 1), "x" * MAX_RESULT_CHARS, "cut"),
        ("x" * 10**8, "x" * MAX_RESULT_CHARS, "cut"),
        ("a" + " " * 2_000 + "b", "a b", None),
        ("a\nb\tc\x85d", "a b c d", None),
        ("a\x00b\x1b[31mc\x9b", "a b (31mc", "cleaned"),
        ("\ud800", None, "cleaned"),
        ("\0" * 10**6, None, "cut"),
    ],
)
def test_what_had_to_be_done_to_an_answer_is_noted(answer: str, result: str | None, note: str | None) -> None:
    (outcome,) = run(Scripted(lambda _: answer), ["any"])
    assert (outcome.status, outcome.result, outcome.note) == ("ok" if result else "empty", result, note)
    assert is_note(outcome.note)


def candidate(text_id: str, tool: str, call_input: str) -> Candidate:
    return make_row(Candidate, text_id=text_id, tool=tool, call_input=call_input)


def test_execute_adds_to_every_candidate_what_its_tool_answered_on_the_documents_day() -> None:
    candidates = [
        candidate("x", "Calendar", ""),
        candidate("y", "Scripted", "a"),
        candidate("y", "Calendar", ""),
        candidate("y", "Calendar", "tomorrow"),
        candidate("x", "Scripted", "a"),
    ]
    days = {"x": datetime.date(2017, 6, 5), "y": datetime.date(2003, 8, 21)}
    documents = [make_row(Document, text_id=text_id, date=day) for text_id, day in days.items()]
    tools: dict[str, Tool] = {"Calendar": Calendar(), "Scripted": Scripted(fail)}
    executed = execute(candidates, documents, ToolExecutor(tools))
    assert [(row.status, row.result, row.from_cache) for row in executed] == [
        ("ok", "Today is Monday, June 5, 2017.", False),
        ("ok", "A", False),
        ("ok", "Today is Thursday, August 21, 2003.", False),
        ("bad_input", None, False),
        ("ok", "A", True),
    ]
    for row, before in zip(executed, candidates, strict=True):
        assert vars(row).items() >= vars(before).items()


def submit(executor: ToolExecutor, *inputs: str) -> list[PendingCall]:
    return [executor.submit(Call("Calculator", call_input)) for call_input in inputs]


def collect(executor: ToolExecutor, number: int) -> list[PendingCall]:
    """So many calls, once they have finished."""
    done: list[PendingCall] = []
    while len(done) < number:
        executor.wait()
        done += executor.finished()
    return done


def results(calls: list[PendingCall]) -> list[str | None]:
    return [call.outcome.result for call in calls if isinstance(call.outcome, Outcome)]


def test_no_more_submitted_calls_are_in_flight_than_the_tool_allows_and_the_rest_follow() -> None:
    tool = Gate(max_in_flight=2)
    executor = ToolExecutor({"Calculator": tool})
    calls = submit(executor, "1+0", "1+1", "1+2", "1+3", "1+4")
    while len(tool.inputs) < 2:
        tool.asked.wait(30)
    assert (sorted(tool.inputs), executor.finished()) == (["1+0", "1+1"], [])
    tool.is_open.set()
    collect(executor, 5)
    assert results(calls) == ["1", "2", "3", "4", "5"]


def test_equal_calls_that_are_submitted_by_themselves_are_made_each() -> None:
    tool = Gate(is_open=True)
    executor = ToolExecutor({"Calculator": tool})
    submit(executor, "1+1", "1+1")
    assert results(collect(executor, 2)) == ["2", "2"]
    assert tool.inputs == ["1+1", "1+1"]


@pytest.mark.parametrize(("tool", "status"), [(Gate(timeout=0.05), "timeout"), (Down(max_retries=0), "unavailable")])
def test_a_submitted_call_without_an_answer_finishes_all_the_same(tool: Gate, status: str) -> None:
    executor = ToolExecutor({"Calculator": tool})
    submit(executor, "1+1")
    [call] = collect(executor, 1)
    tool.is_open.set()
    assert isinstance(call.outcome, Outcome)
    assert (call.outcome.status, call.outcome.result) == (status, None)


def test_waking_before_waiting_is_not_lost() -> None:
    executor = ToolExecutor({})
    executor.wake()
    executor.wait()


class SlowStore(AnswerStore):
    """A store on a slow disk: looking up `1+1`, and writing failures, takes until the test releases it."""

    def __init__(self, folder: Path, mode: Mode) -> None:
        super().__init__(RunFolder(str(folder)), mode)
        self.is_released = threading.Event()
        self.failures_kept: list[Call] = []

    def look_up(self, call: Call, tool: Tool) -> Outcome | None:
        if call.call_input == "1+1":
            self.is_released.wait(30)
        return super().look_up(call, tool)

    def keep(self, call: Call, tool: Tool, outcome: Outcome) -> None:
        if outcome.status not in FACTS:
            self.is_released.wait(30)
            self.failures_kept.append(call)
        super().keep(call, tool, outcome)


def test_a_look_up_that_takes_long_delays_only_its_own_call(tmp_path: Path) -> None:
    tool, store = Gate(is_open=True), SlowStore(tmp_path, "cache")
    executor = ToolExecutor({"Calculator": tool}, store)
    slow, quick = submit(executor, "1+1", "2+2")
    assert (collect(executor, 1), tool.inputs) == ([quick], ["2+2"])
    store.is_released.set()
    assert (collect(executor, 1), results([slow, quick])) == ([slow], ["2", "4"])


def test_a_failure_is_told_before_it_is_recorded_and_the_recording_is_whole_when_it_is_checked(tmp_path: Path) -> None:
    store = SlowStore(tmp_path, "record")
    executor = ToolExecutor({"Calculator": Down(max_retries=0)}, store)
    [call] = submit(executor, "2+2")
    collect(executor, 1)
    assert store.failures_kept == []
    threading.Timer(0.05, store.is_released.set).start()
    executor.check_recording()
    replayed = AnswerStore(RunFolder(str(tmp_path)), "replay").look_up(call.call, Gate())
    assert replayed and (replayed.status, replayed.note) == ("unavailable", None)


def test_a_recording_that_cannot_be_written_is_an_error_when_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_write(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    executor = ToolExecutor({"Calculator": Down(max_retries=0)}, AnswerStore(RunFolder(str(tmp_path)), "record"))
    monkeypatch.setattr(RunFolder, "write_json", refuse_to_write)
    submit(executor, "1+1")
    collect(executor, 1)
    with pytest.raises(OSError, match="No space left"):
        executor.check_recording()


def test_a_recording_that_cannot_be_read_is_an_error_of_the_call_and_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_read(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(RunFolder, "read_json", refuse_to_read)
    executor = ToolExecutor({"Calculator": Gate()}, AnswerStore(RunFolder(str(tmp_path)), "replay"))
    submit(executor, "1+1")
    assert [type(call.outcome) for call in collect(executor, 1)] == [OSError]
    with pytest.raises(OSError, match="Input/output"):
        executor.run([("Calculator", "1+1", None)])
