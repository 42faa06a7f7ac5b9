"""What a worker knows of a tool from one batch of calls to the next: its failures, its pace, what was said of it."""

import logging
import threading
import time

from toolformer_ray.tools.asking.breaker import Breaker
from toolformer_ray.tools.asking.outcome import Call
from toolformer_ray.tools.asking.pacing import Pace
from toolformer_ray.tools.tool import Tool

MAX_LEFT_BEHIND = 32
logger = logging.getLogger(__name__)
_IS_ANSWERED = {"ok": True, "empty": True, "crashed": True, "unavailable": False, "timeout": False, "bad_input": None}
"""Whether a status shows that the tool can be reached; None if it may never have been asked."""


class Standing:
    """One tool as one worker sees it. Not safe for threads: the pool's lock is held by whoever uses it."""

    def __init__(self, tool: Tool) -> None:
        asking = tool.asking
        self.breaker = Breaker(limit=asking.pause_after, pause=asking.pause)
        self.pace = Pace(asking.max_calls_per_second)
        self._name, self._asking = tool.name, asking
        self._left_behind: list[threading.Thread] = []
        self._logged: set[object] = set()
        self._num_not_asked = 0

    def is_given_up(self, now: float) -> bool:
        """Whether nothing may be asked: the tool is paused, or MAX_LEFT_BEHIND of its calls hang."""
        return self.breaker.is_paused(now) or self._has_too_many_hanging()

    def leave_behind(self, thread: threading.Thread) -> None:
        """A thread whose call is over its time; it cannot be ended, only forgotten once it comes back."""
        self._left_behind.append(thread)

    def note_outcome(self, status: str) -> None:
        """What became of a call that was asked."""
        was_open = self.breaker.is_open
        self.breaker.note_outcome(is_answered=_IS_ANSWERED[status], now=time.monotonic())
        if self.breaker.is_open and not was_open:
            logger.warning(
                "%s: %d calls in a row had no answer; it is left alone for %g seconds at a time",
                self._name,
                self._asking.pause_after,
                self._asking.pause,
            )
        if was_open and not self.breaker.is_open:
            logger.warning("%s answers again; meanwhile %d calls were not asked", self._name, self._num_not_asked)
            self._num_not_asked = 0

    def note_not_asked(self, number: int) -> None:
        """So many calls became `unavailable` because the tool is given up."""
        self._num_not_asked += number
        if self._has_too_many_hanging() and "hanging" not in self._logged:
            self._logged.add("hanging")
            logger.warning("%s: %d calls hang; until some end, no other is tried", self._name, len(self._left_behind))

    def log_failure(self, call: Call, failure: Exception | None) -> None:
        """Say what went wrong, once for each kind of error."""
        if failure is not None and type(failure) not in self._logged:
            self._logged.add(type(failure))
            logger.warning("%s failed on %.80r: %r", self._name, call.call_input, failure, exc_info=failure)

    def _has_too_many_hanging(self) -> bool:
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        return len(self._left_behind) >= MAX_LEFT_BEHIND
