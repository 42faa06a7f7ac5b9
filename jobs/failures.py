"""What a failed call of a worker means: try again, or tell the user what to change."""

import errno

from ray.exceptions import RayError, RayTaskError

from records.run_folder import RunFolder

# A full or read-only disk fails every shard alike: no retry helps, and the user has to act.
FATAL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class UnusableError(ValueError):
    """The run cannot go on until the user changes something; the message is one line that says what."""


def raise_if_refused(error: RayError) -> None:
    """Raise UnusableError if a worker found that an option or the corpus cannot be used: no retry helps."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, ValueError):
        raise UnusableError(str(error.cause)) from error


def raise_if_disk_refuses(error: RayError, run: RunFolder) -> None:
    """Raise UnusableError if the run folder could not be written to."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, OSError) and cause.errno in FATAL_ERRNOS:
        raise UnusableError(
            f"--run {run.location} cannot be written to ({cause}); make room and run the same command again to go on"
        ) from error


def one_line(error: RayError) -> str:
    """The error that a worker met, without its traceback."""
    cause = error.cause if isinstance(error, RayTaskError) and error.cause else error
    first_line = (str(cause).strip() or "no message").splitlines()[0]
    return f"{type(cause).__name__}: {first_line}"
