"""The pool: every call ends in a status, and none holds up the others."""

import datetime
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from toolformer_ray.annotate.execute import execute
from toolformer_ray.records.calls import MAX_RESULT_CHARS
from toolformer_ray.records.stages import NOTES, STATUSES, Candidate, Document
from toolformer_ray.tools.asking.outcome import Outcome
from toolformer_ray.tools.asking.pool import ToolPool
from toolformer_ray.tools.asking.standing import MAX_LEFT_BEHIND
from toolformer_ray.tools.calendar import Calendar
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.tool import BadInput, CallContext, Tool, Unavailable

REPOSITORY = Path(__file__).parents[2]


class Scripted(Tool):
    """A tool that answers with whatever a function makes of the input."""

    name = "Scripted"
    instruction = ""
    demonstrations = ()

    def __init__(self, answer: Callable[[str], str], **asking: Any) -> None:
        super().__init__()
        self.asking = Asking(**{"timeout": 20.0, "max_in_flight": 4} | asking)
        self.answer = answer
        self.seen: list[str] = []

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        self.seen.append(call_input)
        return self.answer(call_input)


def run(tool: Tool, inputs: Sequence[str]) -> list[Outcome]:
    return ToolPool({tool.name: tool}, first_delay=0.0).run([(tool.name, call_input, None) for call_input in inputs])


def fail(call_input: str) -> str:
    errors: dict[str, Exception] = {
        "bad": BadInput("no"),
        "away": Unavailable("no"),
        "broken": ZeroDivisionError("no"),
        "deep": RecursionError(),
        "full": MemoryError(),
    }
    if call_input in errors:
        raise errors[call_input]
    return {"nothing": "", "blank": " \n\t", "none": None}.get(call_input, call_input.upper())  # type: ignore[return-value]


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
    pool = ToolPool({"Calendar": Calendar(), "Scripted": scripted})
    outcomes = pool.run([("Calendar", "", day) for day in days] + [("Scripted", "a", day) for day in days])
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


def test_a_hanging_call_times_out_and_holds_up_no_other() -> None:
    release = threading.Event()

    def answer(call_input: str) -> str:
        if call_input.startswith("hang"):
            release.wait()
        return call_input

    for max_in_flight in (1, 2):
        tool = Scripted(answer, timeout=0.05, max_in_flight=max_in_flight)
        outcomes = run(tool, ["hang 1", "a", "hang 2", "hang 3", "b", "hang 1"])
        assert [outcome.status for outcome in outcomes] == ["timeout", "ok", "timeout", "timeout", "ok", "timeout"]
        assert outcomes[0].seconds >= 0.05
        assert outcomes[0].result is None
    release.set()


def test_a_late_answer_is_not_taken_for_that_of_another_call() -> None:
    is_late = threading.Event()

    def answer(call_input: str) -> str:
        if call_input == "late":
            is_late.wait()
        else:
            is_late.set()
        return call_input

    late, punctual = run(Scripted(answer, timeout=0.1, max_in_flight=1), ["late", "punctual"])
    assert (late.status, late.result) == ("timeout", None)
    assert (punctual.status, punctual.result) == ("ok", "punctual")


def test_a_tool_that_always_hangs_is_given_up_before_it_has_filled_the_memory_with_threads() -> None:
    release = threading.Event()
    tool = Scripted(lambda _: str(release.wait()), timeout=0.02, max_in_flight=8)
    num_threads = threading.active_count()
    outcomes = run(tool, [str(n) for n in range(500)])
    statuses = [outcome.status for outcome in outcomes]
    assert set(statuses) == {"timeout", "unavailable"}
    assert statuses.count("timeout") <= MAX_LEFT_BEHIND + 8
    assert threading.active_count() - num_threads <= MAX_LEFT_BEHIND + 8
    release.set()


def test_one_hanging_tool_does_not_keep_another_from_answering() -> None:
    release = threading.Event()
    hanging = Scripted(lambda _: str(release.wait()), timeout=0.1)
    fine = Scripted(fail)
    pool = ToolPool({"Hanging": hanging, "Fine": fine})
    outcomes = pool.run([("Hanging", "a", None), *(("Fine", str(n), None) for n in range(50))])
    assert [outcome.status for outcome in outcomes] == ["timeout", *["ok"] * 50]
    release.set()


def test_a_hanging_call_does_not_keep_the_process_from_ending() -> None:
    script = (
        "import threading; from tests.tools.test_pool import Scripted, run; "
        "print(run(Scripted(lambda _: threading.Event().wait(), timeout=0.05), ['a'])[0].status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=REPOSITORY
    )
    assert ended.stdout == "timeout\n"


def test_no_calls_have_no_outcomes() -> None:
    assert ToolPool({}).run([]) == []


def test_an_unknown_tool_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        ToolPool({}).run([("Nobody", "", None)])


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


class Flaky:
    """Cannot be reached at the first `num_failures` attempts."""

    def __init__(self, num_failures: int, retry_after: float | None = None) -> None:
        self.left, self.retry_after = num_failures, retry_after

    def __call__(self, call_input: str) -> str:
        self.left -= 1
        if self.left >= 0:
            raise Unavailable("away", retry_after=self.retry_after)
        return call_input


def test_a_call_is_repeated_while_the_tool_cannot_be_reached_but_not_for_ever() -> None:
    for num_failures, status in ((3, "ok"), (4, "unavailable")):
        tool = Scripted(Flaky(num_failures), max_retries=3, max_in_flight=1)
        (outcome,) = run(tool, ["a"])
        assert outcome.status == status
        assert tool.seen == ["a"] * 4


def test_what_is_no_matter_of_reaching_the_tool_is_asked_once() -> None:
    tool = Scripted(fail, max_retries=3)
    run(tool, ["bad", "broken", "nothing"])
    assert sorted(tool.seen) == ["bad", "broken", "nothing"]


def test_others_go_on_while_a_call_waits_to_be_repeated() -> None:
    done: list[str] = []
    released = threading.Event()

    def answer(call_input: str) -> str:
        if call_input == "first" and not released.is_set():
            released.set()
            raise Unavailable("busy")
        done.append(call_input)
        return call_input

    tool = Scripted(answer, max_in_flight=1)
    outcomes = ToolPool({"Scripted": tool}, first_delay=0.4).run([("Scripted", n, None) for n in ("first", "a", "b")])
    assert done == ["a", "b", "first"]
    assert {outcome.status for outcome in outcomes} == {"ok"}


def test_a_backend_that_names_a_time_is_left_alone_until_then_and_given_up_if_it_is_long() -> None:
    started = time.monotonic()
    (outcome,) = run(Scripted(Flaky(1, retry_after=0.1)), ["a"])
    assert outcome.status == "ok"
    assert time.monotonic() - started >= 0.1
    tool = Scripted(Flaky(1, retry_after=3_600))
    assert [outcome.status for outcome in run(tool, ["a"])] == ["unavailable"]
    assert tool.seen == ["a"]


def test_no_more_calls_a_second_are_made_than_the_tool_allows() -> None:
    started = time.monotonic()
    outcomes = run(Scripted(fail, max_calls_per_second=50.0), [str(n) for n in range(6)])
    assert time.monotonic() - started >= 5 / 50
    assert {outcome.status for outcome in outcomes} == {"ok"}


def test_a_tool_that_is_down_is_left_alone_and_said_once_to_be(caplog: pytest.LogCaptureFixture) -> None:
    tool = Scripted(Flaky(10**6), max_in_flight=1, max_retries=0, pause_after=5, pause=1_000.0)
    pool = ToolPool({"Scripted": tool})
    with caplog.at_level(logging.WARNING):
        outcomes = [outcome for _ in range(3) for outcome in pool.run([("Scripted", str(n), None) for n in range(100)])]
    assert {outcome.status for outcome in outcomes} == {"unavailable"}
    assert [outcome.note for outcome in outcomes] == [None] * 5 + ["not_asked"] * 295
    assert len(tool.seen) == 5
    told = [record.getMessage() for record in caplog.records]
    assert told[1:] == ["Scripted: 5 calls in a row had no answer; it is left alone for 1000 seconds at a time"]


def test_a_tool_that_is_back_is_asked_again_once_one_call_has_found_out(caplog: pytest.LogCaptureFixture) -> None:
    tool = Scripted(Flaky(5), max_in_flight=1, max_retries=0, pause_after=5, pause=0.05)
    pool = ToolPool({"Scripted": tool})
    statuses: list[str] = []
    with caplog.at_level(logging.WARNING):
        while "ok" not in statuses:
            statuses += [outcome.status for outcome in pool.run([("Scripted", str(n), None) for n in range(20)])]
    assert statuses[-20:] == ["ok"] * 20
    assert "Scripted answers again; meanwhile" in caplog.text


def test_while_one_call_finds_out_the_others_wait_for_it() -> None:
    tool = Scripted(Flaky(1), max_in_flight=8, max_retries=0, pause_after=1, pause=0.0)
    pool = ToolPool({"Scripted": tool})
    assert [outcome.status for outcome in pool.run([("Scripted", "a", None)])] == ["unavailable"]
    first_is_inside, another_is_inside = threading.Event(), threading.Event()
    found_alone: list[bool] = []

    def answer(call_input: str) -> str:
        if first_is_inside.is_set():
            another_is_inside.set()
        else:
            first_is_inside.set()
            found_alone.append(not another_is_inside.wait(0.05))
        return call_input

    tool.answer = answer
    assert {outcome.status for outcome in pool.run([("Scripted", str(n), None) for n in range(20)])} == {"ok"}
    assert found_alone == [True]


def test_calls_that_still_hang_count_in_the_next_batch(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    tool = Scripted(lambda _: str(release.wait()), timeout=0.02, max_in_flight=8, pause_after=10**6)
    pool = ToolPool({"Scripted": tool})
    with caplog.at_level(logging.WARNING):
        pool.run([("Scripted", str(n), None) for n in range(100)])
        second = pool.run([("Scripted", str(n), None) for n in range(100)])
    assert [(outcome.status, outcome.note) for outcome in second] == [("unavailable", "not_asked")] * 100
    assert caplog.text.count("calls hang; until some end") == 1
    release.set()


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
    assert outcome.note in (None, *NOTES)


def document(text_id: str, date: datetime.date | None) -> Document:
    return Document(text_id=text_id, doc_id="d", part=0, text="", title=None, url=None, date=date, source="s")


def candidate(text_id: str, tool: str, call_input: str) -> Candidate:
    return Candidate(
        text_id=text_id,
        tool=tool,
        token_index=1,
        char_offset=2,
        open_probability=0.5,
        call_input=call_input,
        num_samples=3,
        loss_without=4.0,
    )


def test_execute_adds_to_every_candidate_what_its_tool_answered_on_the_documents_day() -> None:
    candidates = [
        candidate("x", "Calendar", ""),
        candidate("y", "Scripted", "a"),
        candidate("y", "Calendar", ""),
        candidate("y", "Calendar", "tomorrow"),
        candidate("x", "Scripted", "a"),
    ]
    documents = [document("x", datetime.date(2017, 6, 5)), document("y", datetime.date(2003, 8, 21))]
    tools: dict[str, Tool] = {"Calendar": Calendar(), "Scripted": Scripted(fail)}
    executed = execute(candidates, documents, ToolPool(tools))
    assert [(row.status, row.result, row.from_cache) for row in executed] == [
        ("ok", "Today is Monday, June 5, 2017.", False),
        ("ok", "A", False),
        ("ok", "Today is Thursday, August 21, 2003.", False),
        ("bad_input", None, False),
        ("ok", "A", True),
    ]
    for row, before in zip(executed, candidates, strict=True):
        assert vars(row).items() >= vars(before).items()


def test_execute_of_no_candidates_is_empty() -> None:
    assert execute([], [document("x", None)], ToolPool({})) == []
