"""What a worker knows about the health of a tool: its failures in a row, its hanging calls, and what was logged."""

import logging
import threading
import time

from toolformer_ray.tools.asking.call import Call
from toolformer_ray.tools.asking.circuit_breaker import CircuitBreaker
from toolformer_ray.tools.tool import Tool

MAX_HANGING = 32
"""While so many calls hang, the tool is not asked: each of them holds a thread that cannot be ended."""
logger = logging.getLogger(__name__)
_IS_ANSWERED = {"ok": True, "empty": True, "crashed": True, "unavailable": False, "timeout": False, "bad_input": None}
"""Whether a status shows that the tool can be reached; None if it may never have been asked."""


class ToolHealth:
    """The health of one tool. Not safe for threads: the owner holds a lock."""

    def __init__(self, tool: Tool) -> None:
        self.breaker = CircuitBreaker(limit=tool.asking.pause_after, pause=tool.asking.pause)
        self._name, self._asking = tool.name, tool.asking
        self._hanging: list[threading.Thread] = []
        self._logged: set[object] = set()
        self._num_not_asked = 0

    def is_down(self, now: float) -> bool:
        """Whether no call may be made: the breaker is open, or MAX_HANGING calls hang."""
        return self.breaker.is_paused(now) or self._has_too_many_hanging()

    def note_hanging(self, thread: threading.Thread) -> None:
        """Remember a thread whose call is over its time until the thread ends by itself."""
        self._hanging.append(thread)

    def note_outcome(self, status: str) -> None:
        """Note the outcome of a call that was made."""
        was_open = self.breaker.is_open
        self.breaker.note_outcome(is_answered=_IS_ANSWERED[status], now=time.monotonic())
        if self.breaker.is_open and not was_open:
            limit, pause = self._asking.pause_after, self._asking.pause
            message = "%s: %d calls in a row had no answer; it is left alone for %g seconds at a time"
            logger.warning(message, self._name, limit, pause)
        if was_open and not self.breaker.is_open:
            logger.warning("%s answers again; meanwhile %d calls were not asked", self._name, self._num_not_asked)
            self._num_not_asked = 0

    def note_not_asked(self, number: int) -> None:
        """Note that a number of calls were not made because the tool is down."""
        self._num_not_asked += number
        if self._has_too_many_hanging() and "hanging" not in self._logged:
            self._logged.add("hanging")
            logger.warning("%s: %d calls hang; until some end, no other is tried", self._name, len(self._hanging))

    def log_failure(self, call: Call, failure: Exception | None) -> None:
        """Log an error of the tool, the first of each kind."""
        if failure is not None and type(failure) not in self._logged:
            self._logged.add(type(failure))
            logger.warning("%s failed on %.80r: %r", self._name, call.call_input, failure, exc_info=failure)

    def _has_too_many_hanging(self) -> bool:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        return len(self._hanging) >= MAX_HANGING
