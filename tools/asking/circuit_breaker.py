"""A circuit breaker for one tool: after many failures in a row it is not asked for a while, then probed by one call.

    closed     -> open         `limit` failures in a row: no call is made
    open       -> half open    `pause` seconds later: the next call is the probe, all others wait for it
    half open  -> closed       the probe was answered
    half open  -> open         the probe failed

Times are seconds of any clock that only goes forward. Not safe for threads: the owner holds a lock.
"""

import math


class CircuitBreaker:
    """The state of one tool."""

    def __init__(self, *, limit: int, pause: float) -> None:
        self._limit, self._pause = limit, pause
        self._num_failures = 0
        self._paused_until = -math.inf
        self.is_open = False
        """Whether the tool counts as down; true of a half-open breaker too."""
        self.is_probed = False
        """Whether the probe is on its way."""

    def is_paused(self, now: float) -> bool:
        """Whether no call may be made."""
        return self.is_open and now < self._paused_until

    def note_asked(self) -> None:
        """Note that a call is made, which is the probe if the tool counts as down."""
        self.is_probed = self.is_open

    def note_outcome(self, *, is_answered: bool | None, now: float) -> None:
        """Note whether a call was answered; None if its outcome says nothing about whether the tool can be reached."""
        self.is_probed = False
        if is_answered is None:
            return
        if is_answered:
            self._num_failures, self.is_open = 0, False
            return
        self._num_failures += 1
        if self.is_open or self._num_failures >= self._limit:
            self.is_open, self._paused_until = True, now + self._pause
