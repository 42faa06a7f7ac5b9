"""When a tool is left alone: after many failures in a row, for a while, until one call finds that it is back.

    asked     -> paused     `limit` failures in a row
    paused    -> probed     `pause` seconds later, with the next call
    probed    -> asked      that call was answered
    probed    -> paused     it was not

Times are seconds of any clock that only goes forward. Not safe for threads: its owner holds a lock.
"""

import math


class Breaker:
    """The state of one tool."""

    def __init__(self, *, limit: int, pause: float) -> None:
        self._limit, self._pause = limit, pause
        self._num_failures = 0
        self._paused_until = -math.inf
        self.is_open = False
        """Whether the tool counts as down: paused, or waiting for the call that finds out."""
        self.is_probed = False
        """Whether that call is on its way; the others wait for what becomes of it."""

    def is_paused(self, now: float) -> bool:
        """Whether no call may be made."""
        return self.is_open and now < self._paused_until

    def note_asked(self) -> None:
        """A call is made; if the tool counts as down, it is the one that finds out."""
        self.is_probed = self.is_open

    def note_outcome(self, *, is_answered: bool | None, now: float) -> None:
        """What became of a call; None if that tells nothing about the tool, such as an input that it never saw."""
        self.is_probed = False
        if is_answered is None:
            return
        if is_answered:
            self._num_failures, self.is_open = 0, False
            return
        self._num_failures += 1
        if self.is_open or self._num_failures >= self._limit:
            self.is_open, self._paused_until = True, now + self._pause
