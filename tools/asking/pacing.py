"""How often a tool is asked: so many calls a second at most, and pauses that double before a call is repeated."""

import math
import random

MAX_RETRY_DELAY = 60.0
"""Seconds. A backend that wants to be left alone for longer is unavailable."""


class Pace:
    """Spaces the calls of one tool evenly. Times are seconds of any clock that only goes forward."""

    def __init__(self, max_calls_per_second: float | None) -> None:
        self._seconds_a_call = 1 / max_calls_per_second if max_calls_per_second else 0.0
        self._next_at = -math.inf

    def seconds_to_wait(self, now: float) -> float:
        """Until the next call may be made; 0 if it may be made now."""
        return max(0.0, self._next_at - now)

    def note_asked(self, now: float) -> None:
        """A call is made."""
        self._next_at = max(self._next_at, now + self._seconds_a_call)

    def hold(self, seconds: float, now: float) -> None:
        """No call for so long: the backend asked for it."""
        self._next_at = max(self._next_at, now + seconds)


def retry_delay(num_failures: int, first_delay: float) -> float:
    """Seconds before the next attempt: a random time between half and the whole of `first_delay` doubled each time.

    Random, so that calls that failed together do not come back together.
    """
    longest = min(MAX_RETRY_DELAY, first_delay * 2 ** (num_failures - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  no secret hangs on it
