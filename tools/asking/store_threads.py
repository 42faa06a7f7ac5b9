"""Threads that read and write known answers, so that a slow disk or bucket delays only the calls that need it."""

import threading
from collections import deque
from collections.abc import Callable

# On a network disk or an object store reading is mostly waiting, so many answers are read at once.
MAX_THREADS = 16


class StoreThreads:
    """Up to MAX_THREADS threads, and none while there is nothing to do.

    `changed` is the owner's lock; it is notified when the last thread ends.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._jobs: deque[Callable[[], None]] = deque()
        self._num_threads = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job, which must not raise, after those submitted before it."""
        with self._changed:
            self._jobs.append(job)
            if self._num_threads < MAX_THREADS:
                self._num_threads += 1
                # Daemons, like the threads of tools: they do not hold up the end of the process.
                threading.Thread(target=self._work, name="answer store", daemon=True).start()

    def finish(self) -> None:
        """Wait until all submitted jobs are done."""
        with self._changed:
            while self._num_threads:
                self._changed.wait()

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            job()

    def _next_job(self) -> Callable[[], None] | None:
        with self._changed:
            if self._jobs:
                return self._jobs.popleft()
            self._num_threads -= 1
            self._changed.notify_all()
            return None
