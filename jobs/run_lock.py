"""One driver a run folder: two would delete each other's temporary files and do everything twice."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from pyarrow.fs import LocalFileSystem

from records.run_folder import RunFolder

LOCK_FILE = ".lock"


@contextlib.contextmanager
def lock_run(run: RunFolder) -> Iterator[None]:
    """Hold the run folder; the lock ends with the process, however that ends. Only local folders can be locked.

    Raises ValueError if another process holds it.
    """
    if not isinstance(run.filesystem, LocalFileSystem):
        yield
        return
    with (Path(run.root) / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(f"another process is working on {run.shown}; wait until it ends, or stop it") from error
        yield
