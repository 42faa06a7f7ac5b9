"""Ctrl-C and SIGTERM: the first asks the run to stop, the second ends the process at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SECONDS_TO_END = 4.0
"""Whoever asks a process to end, such as Slurm or Docker, kills it after some seconds."""


class Interrupted(KeyboardInterrupt):
    """A signal came while nothing was running that could be asked to stop. No Exception, so that nobody swallows it."""


class Interrupts:
    """While entered, the first signal stops what `call` names, or raises Interrupted, instead of ending the process.

    One within another takes the signals over. Outside the main thread, which alone may catch signals, it does nothing.
    """

    def __init__(self, *, seconds_to_end: float | None = None) -> None:
        """`seconds_to_end`: how long after a first signal that was not deferred the process is ended at all events.

        None for a run, whose end has a last word to write.
        """
        self._seconds_to_end = seconds_to_end
        self._stop: Callable[[], object] | None = None
        self._received: int | None = None
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.getsignal(number) for number in SIGNALS}
            self.take_over()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def take_over(self) -> None:
        """Catch the signals, again if a library has set handlers of its own."""
        for number in self._previous:
            signal.signal(number, self._receive)

    def call(self, stop: Callable[[], object]) -> None:
        """From now on call this at a signal, instead of raising Interrupted."""
        self._stop = stop

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """While entered, a first signal waits for the end of the block, and raises Interrupted there.

        For the start of Ray, as a half-started Ray leaves orphan processes.
        """
        self._stop = _wait
        try:
            yield
        except (Exception, SystemExit):
            # After a signal that is its consequence: Ctrl-C reaches Ray's processes too, and Ray exits at SIGTERM.
            if self._received is None:
                raise
        finally:
            self.take_over()
            self._stop = None
        if self._received is not None:
            self._end_in_time()
            raise Interrupted

    @property
    def has_received(self) -> bool:
        """Whether a first signal has come."""
        return self._received is not None

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal has ended: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self._received or signal.SIGTERM)

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self._received is not None:
            os._exit(128 + number)
        self._received = number
        if self._stop is not _wait:
            self._end_in_time()
        if self._stop is None:
            raise Interrupted
        self._stop()

    def _end_in_time(self) -> None:
        if self._seconds_to_end is not None:
            watchdog = threading.Timer(self._seconds_to_end, os._exit, [self.exit_code])
            watchdog.daemon = True
            watchdog.start()


def _wait() -> None:
    """What a signal does while it is deferred."""
