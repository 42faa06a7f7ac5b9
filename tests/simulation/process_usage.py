"""What a driver, its workers and Ray cost while they run: CPU time and memory, read from /proc (Linux)."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SECONDS_BETWEEN_SAMPLES = 0.5
DRIVER, WORKERS, RAY = "driver", "workers", "Ray"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One moment."""

    num_done: int
    """Whatever is counted."""
    seconds: float
    """By a clock that has no beginning."""
    cpu_seconds: Mapping[str, float]
    """User and system time so far, of the driver, its workers, and Ray's own processes."""
    driver_bytes: int
    """The driver's resident memory."""


class UsageSampler:
    """While entered, a thread takes samples of this process and all that descend from it."""

    def __init__(self, count: Callable[[], int]) -> None:
        self.samples: list[Sample] = []
        self._count = count
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._take_samples, daemon=True)
        self._seen: dict[int, tuple[str, float]] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _take_samples(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_SAMPLES):
            # Processes that have ended keep the time that they had taken.
            self._seen.update(_descendants())
            total = dict.fromkeys((WORKERS, RAY), 0.0)
            for kind, seconds in self._seen.values():
                total[kind] += seconds
            own = os.times()
            self.samples.append(
                Sample(
                    num_done=self._count(),
                    seconds=time.monotonic(),
                    cpu_seconds={DRIVER: own.user + own.system, WORKERS: total[WORKERS], RAY: total[RAY]},
                    driver_bytes=resident_bytes(),
                )
            )


def resident_bytes() -> int:
    """The memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def _descendants() -> Iterator[tuple[int, tuple[str, float]]]:
    processes = dict(_all_processes())
    family = {os.getpid()}
    while born := {pid for pid, (parent, _, _) in processes.items() if parent in family and pid not in family}:
        family |= born
    for pid in family - {os.getpid()}:
        _, name, seconds = processes[pid]
        yield pid, (WORKERS if name.startswith("ray::ShardActor") else RAY, seconds)


def _all_processes() -> Iterator[tuple[int, tuple[int, str, float]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
                # The name in parentheses may hold anything; what follows are numbers.
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            # One that has ended and waits to be asked how has no name any more; what was seen of it before counts.
            if title:
                cpu_seconds = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
                yield int(folder.name), (int(fields[1]), title, cpu_seconds)
