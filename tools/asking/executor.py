"""Makes calls of tools, many at once, and gives each an outcome, whatever the tool does.

Annotation hands in a batch of calls and waits for all of them (`run`). Decoding submits one call at a time, goes on
with other texts and collects what has finished (`submit`, `wait`, `finished`).

An executor lives as long as its worker. Every tool has a queue and threads of its own, so a hanging tool delays neither
the other tools nor, as all threads are daemons, the end of the process. Known answers are looked up, and new ones
written down, in further threads.

Not covered: a call that never releases Python's interpreter lock, or that takes the process down.
"""

import datetime
import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.call import Call, Outcome
from toolformer_ray.tools.asking.store_threads import StoreThreads
from toolformer_ray.tools.asking.tool_queue import PendingCall, ToolQueue
from toolformer_ray.tools.tool import Tool

FIRST_RETRY_DELAY = 1.0


class ToolExecutor:
    """Makes calls of the given tools, which have to be open unless the store replays a recording.

    `tools` is keyed by the name written in calls. To be used by one thread; only `wake` may be called from any.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        store: AnswerStore | None = None,
        *,
        first_retry_delay: float = FIRST_RETRY_DELAY,
    ) -> None:
        self._tools, self._store = dict(tools), store
        self._changed = threading.Condition()
        """The lock that guards the queues and all attributes below."""
        self._queues = {
            name: ToolQueue(tool, self._changed, self._finish_asked, first_retry_delay)
            for name, tool in self._tools.items()
        }
        self._store_threads = StoreThreads(self._changed)
        self._num_open = 0
        self._finished: list[PendingCall] = []
        self._is_batch = False
        self._is_woken = False

    @property
    def names(self) -> frozenset[str]:
        """The tools that can be asked."""
        return frozenset(self._tools)

    def run(self, calls: Iterable[Call | tuple[str, str, datetime.date | None]]) -> list[Outcome]:
        """The outcome of every call, in order. Of equal calls one is made, the others copy it.

        A call that needs no earlier one may be a tuple of tool, input and today.

        Raises KeyError for a tool that is not here, and OSError if a recording cannot be read or written.
        """
        asked = [self._as_read(Call(*call)) for call in calls]
        with self._changed:  # held until all calls are in their queues, so that they are made in their order
            self._is_batch = True
            pending = {call: self.submit(call) for call in dict.fromkeys(asked)}
            while self._num_open:
                self._changed.wait(self._seconds_to_deadline())
                self._give_up_overdue()
            self._finished, self._is_batch = [], False
        outcomes = {call: _outcome_of(one) for call, one in pending.items()}
        self.check_recording()
        return list(_copied_where_equal(asked, outcomes))

    def submit(self, call: Call) -> PendingCall:
        """Have a call made. Raises KeyError for a tool that is not here."""
        pending, tool = PendingCall(self._as_read(call)), self._tools[call.tool]
        with self._changed:
            self._num_open += 1
            if self._store and self._store.is_used_for(tool):
                self._store_threads.submit(functools.partial(self._look_up, self._store, pending))
            else:
                self._queues[call.tool].add(pending)
        return pending

    def finished(self) -> list[PendingCall]:
        """The calls that have finished since the last time."""
        with self._changed:
            self._give_up_overdue()
            finished, self._finished = self._finished, []
        return finished

    def wait(self, is_needed: Callable[[], bool] = lambda: True) -> None:
        """Wait until a call has finished or is over its time, or `wake` is called; not at all unless it is needed.

        `is_needed` is called under the lock that `wake` takes, so no waking is lost between asking and waiting.
        """
        with self._changed:
            if not self._finished and not self._is_woken and is_needed():
                self._changed.wait(self._seconds_to_deadline())
            self._is_woken = False

    def wake(self) -> None:
        """End a `wait`, or the next one."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    def check_recording(self) -> None:
        """Wait until everything is written down. Raises OSError or ValueError if a recording lacks calls."""
        self._store_threads.finish()
        if self._store:
            self._store.check()

    def _as_read(self, call: Call) -> Call:
        """The call with what its tool reads of it."""
        return call if self._tools[call.tool].reads_today else call._replace(today=None)

    def _seconds_to_deadline(self) -> float | None:
        if not self._num_open:
            return None
        return min(queue.seconds_to_deadline() for queue in self._queues.values())

    def _give_up_overdue(self) -> None:
        for queue in self._queues.values():
            queue.give_up_overdue()

    def _look_up(self, store: AnswerStore, pending: PendingCall) -> None:
        known: Outcome | Exception | None
        try:
            known = store.look_up(pending.call, self._tools[pending.call.tool])
        except Exception as error:  # noqa: BLE001  in this thread it would be lost; whoever waits for the call gets it
            known = error
        with self._changed:
            if known is None:
                self._queues[pending.call.tool].add(pending)
            else:
                self._finish(pending, known)

    def _finish_asked(self, pending: PendingCall, outcome: Outcome) -> None:
        tool = self._tools[pending.call.tool]
        if self._store and self._store.is_used_for(tool):
            self._store_threads.submit(functools.partial(self._store.keep, pending.call, tool, outcome))
        self._finish(pending, outcome)

    def _finish(self, pending: PendingCall, outcome: Outcome | Exception) -> None:
        pending.outcome = outcome
        self._finished.append(pending)
        self._num_open -= 1
        if not self._is_batch or not self._num_open:
            self._changed.notify_all()


def _outcome_of(pending: PendingCall) -> Outcome:
    if isinstance(pending.outcome, Outcome):
        return pending.outcome
    raise pending.outcome or RuntimeError("the call has not finished")


def _copied_where_equal(asked: Iterable[Call], outcomes: Mapping[Call, Outcome]) -> Iterable[Outcome]:
    seen: set[Call] = set()
    for call in asked:
        outcome = outcomes[call]
        yield replace(outcome, seconds=0.0, from_cache=True) if call in seen else outcome
        seen.add(call)
