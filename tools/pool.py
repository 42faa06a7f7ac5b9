"""Runs calls: a time limit each, many in flight, equal calls once, and a status for whatever comes of them.

Every tool has its own threads, `max_in_flight` of them (one, if the tool answers one call at a time). A call that is
over its time is given up: its thread is left behind and another takes its place, so that a hanging tool holds up
neither the other calls nor, as all threads are daemons, the end of the process. When MAX_LEFT_BEHIND threads of a
tool hang at once, its remaining calls become `unavailable` without being tried.

Not covered: a call that never gives up Python's interpreter lock, or that takes the process down.
"""

import datetime
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from records.calls import clean_result
from tools.tool import BadInput, CallContext, Tool, Unavailable

MAX_LEFT_BEHIND = 32
logger = logging.getLogger(__name__)


class Call(NamedTuple):
    """What is asked; two equal ones have one answer."""

    tool: str
    call_input: str
    today: datetime.date | None = None
    """None where the tool does not read it."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a call."""

    status: str
    """One of records.stages.STATUSES."""
    result: str | None = None
    """As it may stand in a call; None unless the status is `ok`."""
    seconds: float = 0.0
    from_cache: bool = False


class ToolPool:
    """Runs calls of the given tools, which have to be open. `tools` is keyed by the name written in calls."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    def run(self, calls: Iterable[tuple[str, str, datetime.date | None]]) -> list[Outcome]:
        """The outcome of every (tool, call_input, today), in order. Of equal calls the first is run, the others copy.

        Raises KeyError for a tool that the pool does not have.
        """
        asked = [
            Call(name, call_input, today if self._tools[name].reads_today else None)
            for name, call_input, today in calls
        ]
        distinct: dict[str, list[Call]] = {}
        for call in dict.fromkeys(asked):
            distinct.setdefault(call.tool, []).append(call)
        progress = threading.Condition()
        lanes = [_Lane(self._tools[name], own_calls, progress) for name, own_calls in distinct.items()]
        _run_lanes(lanes, progress)
        outcomes = {call: outcome for lane in lanes for call, outcome in lane.outcomes.items()}
        return list(_copied_where_equal(asked, outcomes))


def _copied_where_equal(asked: Iterable[Call], outcomes: Mapping[Call, Outcome]) -> Iterable[Outcome]:
    seen: set[Call] = set()
    for call in asked:
        outcome = outcomes[call]
        yield replace(outcome, seconds=0.0, from_cache=True) if call in seen else outcome
        seen.add(call)


def _run_lanes(lanes: list["_Lane"], progress: threading.Condition) -> None:
    with progress:
        for lane in lanes:
            lane.start_threads()
        while unfinished := [lane for lane in lanes if not lane.is_done]:
            progress.wait(min(lane.seconds_to_deadline() for lane in unfinished))
            for lane in unfinished:
                lane.give_up_overdue()


class _Lane:
    """The calls of one tool. All attributes are guarded by `progress`, which is notified when the lane is done."""

    def __init__(self, tool: Tool, calls: list[Call], progress: threading.Condition) -> None:
        self.outcomes: dict[Call, Outcome] = {}
        self._tool = tool
        self._waiting = deque(calls)
        self._running: dict[threading.Thread, tuple[Call, float]] = {}
        self._left_behind: list[threading.Thread] = []
        self._logged: set[type[Exception]] = set()
        self._num_calls = len(calls)
        self._num_threads = 1 if tool.one_at_a_time else min(tool.options.max_in_flight, len(calls))
        self._progress = progress

    @property
    def is_done(self) -> bool:
        return len(self.outcomes) == self._num_calls

    def start_threads(self) -> None:
        for _ in range(self._num_threads):
            self._start_thread()

    def seconds_to_deadline(self) -> float:
        """Until the next running call is overdue; one that has yet to start is not before a whole timeout."""
        now, timeout = time.monotonic(), self._tool.options.timeout
        return max(0.0, min((started + timeout - now for _, started in self._running.values()), default=timeout))

    def give_up_overdue(self) -> None:
        now, timeout = time.monotonic(), self._tool.options.timeout
        overdue = [thread for thread, (_, started) in self._running.items() if now - started >= timeout]
        for thread in overdue:
            call, started = self._running.pop(thread)
            self.outcomes[call] = Outcome(status="timeout", seconds=now - started)
            self._left_behind.append(thread)
        if not overdue:
            return
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        if len(self._left_behind) >= MAX_LEFT_BEHIND:
            logger.warning("%s: %d calls hang; the others are not tried", self._tool.name, len(self._left_behind))
            self.outcomes.update((call, Outcome(status="unavailable")) for call in self._waiting)
            self._waiting.clear()
        for _ in range(min(len(overdue), len(self._waiting))):
            self._start_thread()

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name=f"{self._tool.name} call", daemon=True).start()

    def _work(self) -> None:
        thread = threading.current_thread()
        while (call := self._next_call(thread)) is not None:
            outcome, failure = _attempt(self._tool, call)
            with self._progress:
                if thread not in self._running:
                    return  # given up in the meantime: another thread has this one's place
                del self._running[thread]
                self.outcomes[call] = outcome
                self._log_first_of_its_kind(call, failure)
                if self.is_done:
                    self._progress.notify()

    def _log_first_of_its_kind(self, call: Call, failure: Exception | None) -> None:
        if failure is not None and type(failure) not in self._logged:
            self._logged.add(type(failure))
            logger.warning("%s failed on %.80r: %r", self._tool.name, call.call_input, failure, exc_info=failure)

    def _next_call(self, thread: threading.Thread) -> Call | None:
        with self._progress:
            if not self._waiting:
                return None
            call = self._waiting.popleft()
            self._running[thread] = (call, time.monotonic())
            return call


def _attempt(tool: Tool, call: Call) -> tuple[Outcome, Exception | None]:
    started, result = time.monotonic(), ""
    failure: Exception | None = None
    try:
        result = clean_result(tool.run(call.call_input, CallContext(today=call.today)))
        status = "ok" if result else "empty"
    except BadInput:
        status = "bad_input"
    except Unavailable as error:
        status, failure = "unavailable", error
    except Exception as error:  # noqa: BLE001  the one broad except: whatever a tool does, its call is a row, no crash
        status, failure = "crashed", error
    return Outcome(status=status, result=result or None, seconds=time.monotonic() - started), failure
