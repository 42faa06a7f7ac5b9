"""The calls of one tool in one batch: so many threads, a time limit each, repetitions, and no call without an outcome.

A call that is over its time is given up: its thread is left behind and another takes its place. When the tool is given
up (`Standing.is_given_up`), the calls that are left become `unavailable` without being asked. A call that waits to be
repeated is in nobody's way: the others go on.
"""

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from toolformer_ray.tools.asking.outcome import FACTS, Call, Outcome, attempt
from toolformer_ray.tools.asking.pacing import MAX_RETRY_DELAY, retry_delay
from toolformer_ray.tools.asking.standing import Standing
from toolformer_ray.tools.tool import Tool, Unavailable


class Lane:
    """All attributes are guarded by `progress`, which is notified when the lane is done."""

    def __init__(
        self,
        tool: Tool,
        standing: Standing,
        progress: threading.Condition,
        keep: Callable[[Call, Outcome], None],
        first_delay: float,
    ) -> None:
        self.outcomes: dict[Call, Outcome] = {}
        self._tool, self._standing, self._progress = tool, standing, progress
        self._keep, self._first_delay = keep, first_delay
        self._num_calls = 0
        self._waiting: deque[Call] = deque()
        self._delayed: list[tuple[float, Call]] = []
        self._num_failures: Counter[Call] = Counter()
        self._running: dict[threading.Thread, tuple[Call, float]] = {}

    @property
    def is_done(self) -> bool:
        return len(self.outcomes) == self._num_calls

    def start(self, calls: Iterable[Call]) -> None:
        self._waiting.extend(calls)
        self._num_calls = len(self._waiting)
        most = 1 if self._tool.one_at_a_time else self._tool.asking.max_in_flight
        for _ in range(min(most, self._num_calls)):
            self._start_thread()

    def seconds_to_deadline(self) -> float:
        """Until the next running call is overdue; one that has yet to start is not before a whole timeout."""
        now, timeout = time.monotonic(), self._tool.asking.timeout
        return max(0.0, min((started + timeout - now for _, started in self._running.values()), default=timeout))

    def give_up_overdue(self) -> None:
        now, timeout = time.monotonic(), self._tool.asking.timeout
        overdue = [thread for thread, (_, started) in self._running.items() if now - started >= timeout]
        for thread in overdue:
            call, started = self._running.pop(thread)
            self._standing.leave_behind(thread)
            self._end(call, Outcome(status="timeout", seconds=now - started))
        for _ in range(min(len(overdue), len(self._waiting) + len(self._delayed))):
            self._start_thread()

    def _start_thread(self) -> None:
        threading.Thread(target=self._work, name=f"{self._tool.name} call", daemon=True).start()

    def _work(self) -> None:
        thread = threading.current_thread()
        while (call := self._next_call(thread)) is not None:
            outcome, failure = attempt(self._tool, call)
            with self._progress:
                if self._running.pop(thread, None) is None:
                    return  # given up in the meantime: another thread has this one's place
                self._standing.log_failure(call, failure)
                if self._is_repeated(call, failure):
                    continue
            # Its time is over and it is not yet an outcome: a slow disk makes no call late, and no batch ends too soon.
            if outcome.status in FACTS:
                self._keep(call, outcome)
            with self._progress:
                self._end(call, outcome)

    def _next_call(self, thread: threading.Thread) -> Call | None:
        with self._progress:
            while self._waiting or self._delayed:
                now = time.monotonic()
                if self._standing.is_given_up(now):
                    self._refuse_rest()
                    return None
                seconds = self._seconds_to_next(now)
                if seconds <= 0:
                    return self._take(thread, now)
                self._progress.wait(seconds)
            return None

    def _seconds_to_next(self, now: float) -> float:
        if self._standing.breaker.is_probed:
            return self._tool.asking.timeout  # it ends earlier, with a notification
        delay = 0.0 if self._waiting else self._delayed[0][0] - now
        return max(delay, self._standing.pace.seconds_to_wait(now))

    def _take(self, thread: threading.Thread, now: float) -> Call:
        is_delayed = self._delayed and self._delayed[0][0] <= now
        call = heapq.heappop(self._delayed)[1] if is_delayed else self._waiting.popleft()
        self._standing.pace.note_asked(now)
        self._standing.breaker.note_asked()
        self._running[thread] = (call, now)
        return call

    def _is_repeated(self, call: Call, failure: Exception | None) -> bool:
        """Whether the call will be made again; a tool that is being probed has one chance."""
        if not isinstance(failure, Unavailable):
            return False
        now, asked_for = time.monotonic(), failure.retry_after or 0.0
        if asked_for <= MAX_RETRY_DELAY:
            self._standing.pace.hold(asked_for, now)
        self._num_failures[call] += 1
        number, standing = self._num_failures[call], self._standing
        if number > self._tool.asking.max_retries or asked_for > MAX_RETRY_DELAY or standing.breaker.is_open:
            return False
        heapq.heappush(self._delayed, (now + max(asked_for, retry_delay(number, self._first_delay)), call))
        return True

    def _refuse_rest(self) -> None:
        """Whatever waits is not asked any more."""
        rest = [*self._waiting, *(call for _, call in self._delayed)]
        for call in rest:
            note = None if self._num_failures[call] else "not_asked"
            self.outcomes[call] = Outcome(status="unavailable", note=note)
        self._waiting.clear()
        self._delayed.clear()
        self._standing.note_not_asked(len(rest))
        self._progress.notify_all()

    def _end(self, call: Call, outcome: Outcome) -> None:
        was_probed = self._standing.breaker.is_probed
        self._standing.note_outcome(outcome.status)
        self.outcomes[call] = outcome
        if self.is_done or was_probed or self._standing.breaker.is_open:
            self._progress.notify_all()
