"""The calls of one tool: they wait in a queue, threads make them, and each has an outcome in the end.

A call that exceeds its time limit times out: its thread is left behind, and another takes its place. While the tool is
down (`tools.asking.health`), calls become `unavailable` without being made. A call that waits to be repeated occupies
no thread that another call could use.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from toolformer_ray.tools.asking.call import Call, Outcome, ask
from toolformer_ray.tools.asking.health import ToolHealth
from toolformer_ray.tools.asking.rate_limit import MAX_RETRY_DELAY, RateLimit, retry_delay
from toolformer_ray.tools.tool import TimedOut, Tool, Unavailable


@dataclass(eq=False)
class PendingCall:
    """A call that was submitted; two equal calls may be pending at once."""

    call: Call
    num_failures: int = 0
    outcome: Outcome | Exception | None = None
    """None until the call is finished; an exception if a recording should hold its outcome and cannot be read."""


class ToolQueue:
    """All attributes are guarded by the owner's lock `changed`, and `finish` is called with it held."""

    def __init__(
        self,
        tool: Tool,
        changed: threading.Condition,
        finish: Callable[[PendingCall, Outcome], None],
        first_retry_delay: float,
    ) -> None:
        self._tool, self._asking = tool, tool.asking
        self._changed, self._finish, self._first_retry_delay = changed, finish, first_retry_delay
        self._health, self._rate_limit = ToolHealth(tool), RateLimit(tool.asking.max_calls_per_second)
        self._max_threads = 1 if tool.one_at_a_time else tool.asking.max_in_flight
        self._num_threads = 0
        self._waiting: deque[PendingCall] = deque()
        self._delayed: list[tuple[float, int, PendingCall]] = []
        """A heap of calls to be repeated, by the time when each may be made again, then in order of failing."""
        self._numbers = itertools.count()
        self._running: dict[threading.Thread, tuple[PendingCall, float]] = {}

    def add(self, pending: PendingCall) -> None:
        """Make the call as soon as the tool allows."""
        self._waiting.append(pending)
        if self._num_threads < self._max_threads:
            self._start_thread()
        elif self._delayed:
            self._changed.notify_all()  # a thread may be asleep until a delayed call's time

    def seconds_to_deadline(self) -> float:
        """Seconds until the next running call is overdue; if none runs, the time limit of one that starts now."""
        now, timeout = time.monotonic(), self._asking.timeout
        return max(0.0, min((started + timeout - now for _, started in self._running.values()), default=timeout))

    def give_up_overdue(self) -> None:
        """Finish the running calls that have exceeded their time limit."""
        now, timeout = time.monotonic(), self._asking.timeout
        overdue = [thread for thread, (_, started) in self._running.items() if now - started >= timeout]
        for thread in overdue:
            pending, started = self._running.pop(thread)
            self._health.note_hanging(thread)
            self._num_threads -= 1
            self._end(pending, Outcome(status="timeout", seconds=now - started))
        for _ in range(min(len(overdue), len(self._waiting) + len(self._delayed))):
            self._start_thread()

    def _start_thread(self) -> None:
        self._num_threads += 1
        threading.Thread(target=self._work, name=f"{self._tool.name} call", daemon=True).start()

    def _work(self) -> None:
        thread = threading.current_thread()
        while (pending := self._next_call(thread)) is not None:
            outcome, failure = ask(self._tool, pending.call)
            with self._changed:
                if self._running.pop(thread, None) is None:
                    return  # the call timed out in the meantime, and another thread has taken this one's place
                self._health.log_failure(pending.call, failure)
                if not self._is_repeated(pending, failure):
                    self._end(pending, outcome, is_answered=isinstance(failure, TimedOut))

    def _next_call(self, thread: threading.Thread) -> PendingCall | None:
        with self._changed:
            while self._waiting or self._delayed:
                now = time.monotonic()
                if self._health.is_down(now):
                    self._refuse_all()
                    break
                seconds = self._seconds_to_next(now)
                if seconds <= 0:
                    return self._take(thread, now)
                self._changed.wait(seconds)
            self._num_threads -= 1
            return None

    def _seconds_to_next(self, now: float) -> float:
        if self._health.breaker.is_probed:
            return self._asking.timeout  # the end of the probe notifies
        delay = 0.0 if self._waiting else self._delayed[0][0] - now
        return max(delay, self._rate_limit.seconds_to_wait(now))

    def _take(self, thread: threading.Thread, now: float) -> PendingCall:
        is_delayed = self._delayed and self._delayed[0][0] <= now
        pending = heapq.heappop(self._delayed)[-1] if is_delayed else self._waiting.popleft()
        self._rate_limit.note_asked(now)
        self._health.breaker.note_asked()
        self._running[thread] = (pending, now)
        return pending

    def _is_repeated(self, pending: PendingCall, failure: Exception | None) -> bool:
        """Whether the call will be made again, after a delay. A probe is not repeated."""
        if not isinstance(failure, Unavailable):
            return False
        now, asked_for = time.monotonic(), failure.retry_after or 0.0
        if asked_for <= MAX_RETRY_DELAY:
            self._rate_limit.hold(asked_for, now)
        pending.num_failures += 1
        is_last = pending.num_failures > self._asking.max_retries or asked_for > MAX_RETRY_DELAY
        if is_last or self._health.breaker.is_open:
            return False
        delay = max(asked_for, retry_delay(pending.num_failures, self._first_retry_delay))
        heapq.heappush(self._delayed, (now + delay, next(self._numbers), pending))
        return True

    def _refuse_all(self) -> None:
        """Finish all calls that wait without making them."""
        refused = [*self._waiting, *(pending for *_, pending in sorted(self._delayed))]
        self._waiting.clear()
        self._delayed.clear()
        self._health.note_not_asked(len(refused))
        for pending in refused:
            self._finish(pending, Outcome(status="unavailable", note=None if pending.num_failures else "not_asked"))
        self._changed.notify_all()

    def _end(self, pending: PendingCall, outcome: Outcome, *, is_answered: bool = False) -> None:
        """`is_answered`: whether the tool itself told this outcome, so that it can be reached whatever the status."""
        was_probe = self._health.breaker.is_probed
        self._health.note_outcome("ok" if is_answered else outcome.status)
        self._finish(pending, outcome)
        if was_probe or self._health.breaker.is_open:
            self._changed.notify_all()
