"""One driver a run folder: two would delete each other's temporary files and do everything twice. `lease.json`.

The driver that holds a run counts up a number in the lease every few seconds. Another one that finds a lease watches
it, by its own clock alone: if the number moves the holder is alive, and the other refuses; if it stands still for
SECONDS_TO_EXPIRY the holder is dead or cut off, and the other takes over. A holder of this machine whose process is
gone is dead at once. A holder that was only suspended finds another's name in the lease, and ends. So no two clocks are
ever compared, and nothing is asked of the file system but to replace a small file whole: a local disk, NFS, `s3://`.

Not covered: between two drivers that start in the same instant, or when one is held up between looking and writing, a
moment may pass in which both work. Rows stay right even then, since shards are written whole and made reproducibly.
"""

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.log import warn

LEASE_FILE = "lease.json"
SECONDS_BETWEEN_BEATS = 5.0
SECONDS_TO_EXPIRY = 30.0
SECONDS_TO_SETTLE = 0.2


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who holds a run folder."""

    owner: str
    """Of this one driver alone."""
    machine: str
    """Its host name, boot and process namespace: where its process id means something."""
    process: int
    started: str = ""
    """When the process began, as its machine counts: process ids are given out again."""
    beat: int = 0
    """Counts up as long as the owner lives."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.machine.partition(' ')[0]}"


class Holder:
    """A lease that is held; a thread renews it until `release`."""

    def __init__(self, run: RunFolder, lease: Lease) -> None:
        self._run, self._lease = run, lease
        self._is_released = threading.Event()
        self.taken_by: Lease | None = None
        """The driver that has taken over, if there is one."""
        self._thread = threading.Thread(target=self._keep_beating, name="lease", daemon=True)
        self._thread.start()

    def beat(self) -> bool:
        """Renew the lease; False if another driver has it."""
        with contextlib.suppress(OSError):  # Whoever writes shards finds out whether the disk is gone.
            found = _read(self._run)
            if found and found.owner != self._lease.owner:
                self.taken_by = found
                return False
            self._lease = replace(self._lease, beat=self._lease.beat + 1)
            self._run.write_json(LEASE_FILE, asdict(self._lease))
        return True

    def release(self) -> None:
        """Stop renewing and take the lease away, unless it is another's."""
        self._is_released.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            found = _read(self._run)
            if found and found.owner == self._lease.owner:
                self._run.delete(LEASE_FILE)

    def _keep_beating(self) -> None:
        while not self._is_released.wait(SECONDS_BETWEEN_BEATS) and self.beat():
            pass


@contextlib.contextmanager
def hold_run(run: RunFolder, wait: Callable[[float], object] = time.sleep) -> Iterator[Holder]:
    """Hold the run folder. Raises ValueError if another driver does, and OSError if the folder cannot be written to."""
    lease = Lease(
        owner=uuid.uuid4().hex, machine=_this_machine(), process=os.getpid(), started=_started(os.getpid()) or ""
    )
    if (other := _read(run)) and _is_alive(run, other, wait):
        raise ValueError(f"another driver ({other}) is working on {run.shown}; wait until it ends, or stop it")
    if other:
        gone = f"the driver that was working on {run.shown} ({other}) is gone; going on in its place"
        warn("lease_taken_over", gone, owner=str(other))
    run.write_json(LEASE_FILE, asdict(lease))
    wait(SECONDS_TO_SETTLE)
    if (other := _read(run)) and other.owner != lease.owner:
        raise ValueError(f"another driver ({other}) has begun to work on {run.shown}; wait until it ends, or stop it")
    holder = Holder(run, lease)
    try:
        yield holder
    finally:
        holder.release()


def is_held(run: RunFolder) -> bool | None:
    """Whether the driver that holds the run lives, as far as one look tells; None if it may be on another machine."""
    lease = _read(run)
    return _is_process_alive(lease) if lease else None


def _is_alive(run: RunFolder, other: Lease, wait: Callable[[float], object]) -> bool:
    if (is_there := _is_process_alive(other)) is not None:
        return is_there
    for _ in range(int(SECONDS_TO_EXPIRY / SECONDS_BETWEEN_BEATS) + 1):
        wait(SECONDS_BETWEEN_BEATS)
        if (now := _read(run)) != other:
            return now is not None
    return False


def _is_process_alive(lease: Lease) -> bool | None:
    """Whether the lease's process is there; None if nobody on this machine can tell."""
    if lease.machine != _this_machine():
        return None
    started = _started(lease.process)
    return started == lease.started if started is None or (started and lease.started) else None


def _started(process: int) -> str | None:
    """When a process of this machine began, in ticks since its boot; None if it is gone, empty if nobody tells."""
    try:
        with contextlib.suppress(PermissionError):  # another user's, so it is there
            os.kill(process, 0)
    except ProcessLookupError:
        return None
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _read(run: RunFolder) -> Lease | None:
    try:
        return Lease(**run.read_json(LEASE_FILE))
    except (TypeError, ValueError):
        return None  # Not there, or not ours: nobody renews it.


def _this_machine() -> str:
    """What tells apart machines, their boots, and containers, in each of which process ids begin anew."""
    marks = [platform.node() or "this host"]
    with contextlib.suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        marks.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return " ".join(marks)
