"""How often a tool is asked: a limit on calls a second, and exponential backoff before a call is repeated."""

import math
import random

MAX_RETRY_DELAY = 60.0
"""Seconds. A backend that asks for a longer pause counts as unavailable."""


class RateLimit:
    """Spaces the calls of one tool evenly. Times are seconds of any clock that only goes forward."""

    def __init__(self, max_calls_per_second: float | None) -> None:
        self._seconds_a_call = 1 / max_calls_per_second if max_calls_per_second else 0.0
        self._next_at = -math.inf

    def seconds_to_wait(self, now: float) -> float:
        """Seconds until the next call may be made."""
        return max(0.0, self._next_at - now)

    def note_asked(self, now: float) -> None:
        """Note that a call is made."""
        self._next_at = max(self._next_at, now + self._seconds_a_call)

    def hold(self, seconds: float, now: float) -> None:
        """Allow no call for some seconds, because the backend asked for it."""
        self._next_at = max(self._next_at, now + seconds)


def retry_delay(num_failures: int, first_delay: float) -> float:
    """Seconds before the next attempt: `first_delay` doubled after each failure, of which up to half is left out.

    How much is random, so that calls that failed together are not repeated together.
    """
    longest = min(MAX_RETRY_DELAY, first_delay * 2 ** (num_failures - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  no secret hangs on it
