"""Threads that read and write known answers, so that a slow disk or bucket is in no text's way but the asker's."""

import threading
from collections import deque
from collections.abc import Callable

from toolformer_ray.tools.asking.answer_store import LOOKUP_THREADS


class StoreThreads:
    """A few at most, and none while there is nothing to do. `progress`, the lock, is notified when the last ends."""

    def __init__(self, progress: threading.Condition) -> None:
        self._progress = progress
        self._jobs: deque[Callable[[], None]] = deque()
        self._num_threads = 0

    def do(self, job: Callable[[], None]) -> None:
        """Have it done, in the order of asking; it must not raise."""
        with self._progress:
            self._jobs.append(job)
            if self._num_threads < LOOKUP_THREADS:
                self._num_threads += 1
                # As those of tools, they do not hold up the end of the process.
                threading.Thread(target=self._work, name="answer store", daemon=True).start()

    def finish(self) -> None:
        """Until all is done that was asked for."""
        with self._progress:
            while self._num_threads:
                self._progress.wait()

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            job()

    def _next_job(self) -> Callable[[], None] | None:
        with self._progress:
            if self._jobs:
                return self._jobs.popleft()
            self._num_threads -= 1
            self._progress.notify_all()
            return None
