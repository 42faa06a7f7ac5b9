"""At most one driver works on a run folder: two would delete each other's temporary files and do everything twice.

The driver that holds a run counts up a number in `lease.json` every few seconds. A second driver that finds a lease
watches it, by its own clock: if the number changes, the holder is alive and the second driver refuses to start; if it
stays the same for SECONDS_TO_EXPIRY, the holder is dead or cut off, and the second driver takes over. A holder on the
same machine whose process is gone is dead at once. A holder that was only suspended finds another's lease, and stops.
So no two clocks are compared, and the store has to do no more than replace a small file as a whole, which local disks,
NFS and buckets all do.

Not covered: of two drivers that start in the same instant, or if one is suspended between looking and writing, both may
work for a moment. Rows are right even then, since shards are written whole and are reproducible.
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

from toolformer_ray.records.errors import UnusableError
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
    """Unique to one driver."""
    machine: str
    """Host name, boot and process namespace, within which process ids are unique."""
    process: int
    started: str = ""
    """When the process began, in ticks since its machine booted, since process ids are reused; empty if unknown."""
    beat: int = 0
    """Counts up as long as the owner lives."""

    def __str__(self) -> str:
        return f"process {self.process} on {self.machine.partition(' ')[0]}"


def make_lease(process: int) -> Lease:
    """The lease of a process of this machine."""
    return Lease(owner=uuid.uuid4().hex, machine=_this_machine(), process=process, started=_start_time(process) or "")


def read_lease(run: RunFolder) -> Lease | None:
    """The lease of a run; None if nobody holds it. A lease that cannot be read counts as none: nobody renews it."""
    try:
        return Lease(**run.read_json(LEASE_FILE))
    except (TypeError, ValueError):
        return None


def is_alive(
    run: RunFolder,
    lease: Lease,
    wait: Callable[[float], object] = time.sleep,
    *,
    patience: float = SECONDS_TO_EXPIRY,
    is_likely: bool = False,
) -> bool:
    """Whether the holder of a run's lease is alive. A holder on another machine is watched for `patience` seconds.

    If it `is_likely` that it is, a holder on another machine is not watched.
    """
    if lease.machine == _this_machine():
        started = _start_time(lease.process)
        if started is None or (started and lease.started):
            return started == lease.started
    if is_likely:
        return True
    for _ in range(int(patience / SECONDS_BETWEEN_BEATS) + 1):
        wait(SECONDS_BETWEEN_BEATS)
        if (now := read_lease(run)) != lease:
            return now is not None
    return False


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
        with contextlib.suppress(OSError):  # If the disk is gone, writing the next shard will tell.
            found = read_lease(self._run)
            if found and found.owner != self._lease.owner:
                self.taken_by = found
                return False
            self._lease = replace(self._lease, beat=self._lease.beat + 1)
            self._run.write_json(LEASE_FILE, asdict(self._lease))
        return True

    def release(self) -> None:
        """Stop renewing the lease, and delete it unless another driver has it."""
        self._is_released.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            found = read_lease(self._run)
            if found and found.owner == self._lease.owner:
                self._run.delete(LEASE_FILE)

    def _keep_beating(self) -> None:
        while not self._is_released.wait(SECONDS_BETWEEN_BEATS) and self.beat():
            pass


@contextlib.contextmanager
def hold_run(run: RunFolder, wait: Callable[[float], object] = time.sleep) -> Iterator[Holder]:
    """Hold a run. Raises UnusableError if another driver holds it, and OSError if the folder cannot be written to."""
    lease = make_lease(os.getpid())
    if (other := read_lease(run)) and is_alive(run, other, wait):
        raise UnusableError(f"another driver ({other}) is working on {run.shown}; wait until it ends, or stop it")
    if other:
        gone = f"the driver that was working on {run.shown} ({other}) is gone; going on in its place"
        warn("lease_taken_over", gone, owner=str(other))
    run.write_json(LEASE_FILE, asdict(lease))
    wait(SECONDS_TO_SETTLE)
    if (other := read_lease(run)) and other.owner != lease.owner:
        begun = f"another driver ({other}) has begun to work on {run.shown}"
        raise UnusableError(f"{begun}; wait until it ends, or stop it")
    holder = Holder(run, lease)
    try:
        yield holder
    finally:
        holder.release()


def _start_time(process: int) -> str | None:
    """When a process of this machine began, in ticks since boot; None if it is gone, empty if that is unknown."""
    try:
        with contextlib.suppress(PermissionError):  # It is another user's process.
            os.kill(process, 0)
    except ProcessLookupError:
        return None
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _this_machine() -> str:
    marks = [platform.node() or "this host"]
    with contextlib.suppress(OSError):
        marks.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        marks.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return " ".join(marks)
