"""Where calls are handed in while texts go on: each is asked in a thread of its own and answered when it is answered.

What a tool's options say about time limits, repetitions, pauses and calls in flight holds here as in annotation, with
the same lanes (`tools.asking.lane`): a lane for each call, as each is waited for by itself. What is known of a call
is looked up in threads too, and failures are recorded there. Nobody waits busily.
"""

import functools
import itertools
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolformer_ray.decode.store_threads import StoreThreads
from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.lane import Lane
from toolformer_ray.tools.asking.outcome import FACTS, Call, Outcome
from toolformer_ray.tools.asking.pool import FIRST_RETRY_DELAY
from toolformer_ray.tools.asking.standing import Standing
from toolformer_ray.tools.tool import Tool


@dataclass(frozen=True, eq=False)
class Ticket:
    """A call that was handed in."""

    call: Call
    number: int


class ToolDesk:
    """`tools` by the name written in calls, opened. Not for several threads, but `wake` may be called from any."""

    def __init__(
        self, tools: Mapping[str, Tool], store: AnswerStore | None = None, *, first_delay: float = FIRST_RETRY_DELAY
    ) -> None:
        self._tools, self._store, self._first_delay = dict(tools), store, first_delay
        self._standings = {name: Standing(tool) for name, tool in self._tools.items()}
        self._progress = threading.Condition()
        self._numbers = itertools.count()
        self._waiting: dict[str, deque[Ticket]] = {name: deque() for name in self._tools}
        self._running: dict[Ticket, Lane] = {}
        self._looked_up: list[tuple[Ticket, Outcome | Exception | None]] = []
        """None where nothing is known. Guarded by `_progress`."""
        self._store_threads = StoreThreads(self._progress)
        self._num_open = 0
        self._is_woken = False

    @property
    def names(self) -> frozenset[str]:
        """The tools that can be asked."""
        return frozenset(self._tools)

    @property
    def num_open(self) -> int:
        """Calls without an answer yet."""
        return self._num_open

    def hand_in(self, call: Call) -> Ticket:
        """Ask a tool. Raises KeyError for one that is not here."""
        tool = self._tools[call.tool]
        ticket = Ticket(call if tool.reads_today else call._replace(today=None), next(self._numbers))
        self._num_open += 1
        if self._store and self._store.is_used_for(tool):
            self._store_threads.do(functools.partial(self._look_up, self._store, ticket))
        else:
            self._waiting[call.tool].append(ticket)
            self._start_waiting()
        return ticket

    def answered(self) -> list[tuple[Ticket, Outcome | Exception]]:
        """The calls that were answered since the last time, or are over their time.

        An exception stands for a call that a recording should have answered and could not: it cannot be read.
        """
        with self._progress:
            looked_up, self._looked_up = self._looked_up, []
            for lane in self._running.values():
                lane.give_up_overdue()
            done = [(ticket, lane.outcomes[ticket.call]) for ticket, lane in self._running.items() if lane.is_done]
        for ticket, outcome in done:
            del self._running[ticket]
            if outcome.status not in FACTS:
                self._store_threads.do(functools.partial(self._keep, ticket.call, outcome))
        for ticket, known in looked_up:
            if known is None:
                self._waiting[ticket.call.tool].append(ticket)
        self._start_waiting()
        answers = [*done, *((ticket, known) for ticket, known in looked_up if known is not None)]
        self._num_open -= len(answers)
        return answers

    def check_recording(self) -> None:
        """Wait until all is written down. Raises OSError or ValueError if a recording lacks calls that were asked."""
        self._store_threads.finish()
        if self._store:
            self._store.check()

    def wait(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """Until a call is answered, looked up or over its time, or `wake` is called; not at all unless it is needed.

        `is_needed` is asked under the lock that `wake` takes, so that no waking is lost between asking and waiting.
        """
        with self._progress:
            lanes = list(self._running.values())
            is_nothing_there = not self._looked_up and not any(lane.is_done for lane in lanes)
            if is_nothing_there and not self._is_woken and is_needed():
                self._progress.wait(min((lane.seconds_to_deadline() for lane in lanes), default=None))
            self._is_woken = False

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        with self._progress:
            self._is_woken = True
            self._progress.notify_all()

    def _start_waiting(self) -> None:
        for name, waiting in self._waiting.items():
            tool = self._tools[name]
            most = 1 if tool.one_at_a_time else tool.asking.max_in_flight
            num_running = sum(ticket.call.tool == name for ticket in self._running) if waiting else 0
            while waiting and num_running < most:
                self._start(waiting.popleft())
                num_running += 1

    def _start(self, ticket: Ticket) -> None:
        name = ticket.call.tool
        lane = Lane(self._tools[name], self._standings[name], self._progress, self._keep, self._first_delay)
        self._running[ticket] = lane
        with self._progress:
            lane.start([ticket.call])

    def _look_up(self, store: AnswerStore, ticket: Ticket) -> None:
        known: Outcome | Exception | None
        try:
            known = store.look_up({ticket.call: self._tools[ticket.call.tool]}).get(ticket.call)
        except Exception as error:  # noqa: BLE001  here it would be lost; whoever asked for the text is told
            known = error
        with self._progress:
            self._looked_up.append((ticket, known))
            self._progress.notify_all()

    def _keep(self, call: Call, outcome: Outcome) -> None:
        if self._store:
            self._store.keep(call, self._tools[call.tool], outcome)
