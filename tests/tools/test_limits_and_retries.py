"""Calls that hang, tools that cannot be reached, and how often a tool is asked."""

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.slow_tools import Scripted, fail, run
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.asking.health import MAX_HANGING
from toolformer_ray.tools.tool import Unavailable

REPOSITORY = Path(__file__).parents[2]


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
    assert statuses.count("timeout") <= MAX_HANGING + 8
    assert threading.active_count() - num_threads <= MAX_HANGING + 8
    release.set()


def test_one_hanging_tool_does_not_keep_another_from_answering() -> None:
    release = threading.Event()
    hanging = Scripted(lambda _: str(release.wait()), timeout=0.1)
    fine = Scripted(fail)
    executor = ToolExecutor({"Hanging": hanging, "Fine": fine})
    outcomes = executor.run([("Hanging", "a", None), *(("Fine", str(n), None) for n in range(50))])
    assert [outcome.status for outcome in outcomes] == ["timeout", *["ok"] * 50]
    release.set()


def test_a_hanging_call_does_not_keep_the_process_from_ending() -> None:
    script = (
        "import threading; from tests.support.slow_tools import Scripted, run; "
        "print(run(Scripted(lambda _: threading.Event().wait(), timeout=0.05), ['a'])[0].status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=REPOSITORY
    )
    assert ended.stdout == "timeout\n"


def test_calls_that_still_hang_count_in_the_next_batch(caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()
    tool = Scripted(lambda _: str(release.wait()), timeout=0.02, max_in_flight=8, pause_after=10**6)
    executor = ToolExecutor({"Scripted": tool})
    with caplog.at_level(logging.WARNING):
        executor.run([("Scripted", str(n), None) for n in range(100)])
        second = executor.run([("Scripted", str(n), None) for n in range(100)])
    assert [(outcome.status, outcome.note) for outcome in second] == [("unavailable", "not_asked")] * 100
    assert caplog.text.count("calls hang; until some end") == 1
    release.set()


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
    outcomes = ToolExecutor({"Scripted": tool}, first_retry_delay=0.4).run(
        [("Scripted", n, None) for n in ("first", "a", "b")]
    )
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
    executor = ToolExecutor({"Scripted": tool})
    with caplog.at_level(logging.WARNING):
        outcomes = [
            outcome for _ in range(3) for outcome in executor.run([("Scripted", str(n), None) for n in range(100)])
        ]
    assert {outcome.status for outcome in outcomes} == {"unavailable"}
    assert [outcome.note for outcome in outcomes] == [None] * 5 + ["not_asked"] * 295
    assert len(tool.seen) == 5
    told = [record.getMessage() for record in caplog.records]
    assert told[1:] == ["Scripted: 5 calls in a row had no answer; it is left alone for 1000 seconds at a time"]


def test_a_tool_that_is_back_is_asked_again_once_one_call_has_found_out(caplog: pytest.LogCaptureFixture) -> None:
    tool = Scripted(Flaky(5), max_in_flight=1, max_retries=0, pause_after=5, pause=0.05)
    executor = ToolExecutor({"Scripted": tool})
    statuses: list[str] = []
    with caplog.at_level(logging.WARNING):
        while "ok" not in statuses:
            statuses += [outcome.status for outcome in executor.run([("Scripted", str(n), None) for n in range(20)])]
    assert statuses[-20:] == ["ok"] * 20
    assert "Scripted answers again; meanwhile" in caplog.text


def test_while_one_call_finds_out_the_others_wait_for_it() -> None:
    tool = Scripted(Flaky(1), max_in_flight=8, max_retries=0, pause_after=1, pause=0.0)
    executor = ToolExecutor({"Scripted": tool})
    assert [outcome.status for outcome in executor.run([("Scripted", "a", None)])] == ["unavailable"]
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
    assert {outcome.status for outcome in executor.run([("Scripted", str(n), None) for n in range(20)])} == {"ok"}
    assert found_alone == [True]
