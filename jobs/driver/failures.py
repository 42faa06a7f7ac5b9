"""What a failed call of a worker was: which line of the retry rule applies, and how it is told to people."""

import contextlib
from collections.abc import Iterator

from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from toolformer_ray.jobs.driver.retry import Happened, Verdict
from toolformer_ray.records.errors import OptionError, UnusableError, first_line, one_line
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import DamagedError, RunFolder
from toolformer_ray.workflow.run_folder_errors import REMEDIES

MAX_LINE_CHARS = 300


class NodeLostError(RayError):
    """A worker is gone with its node, or its node cannot be reached."""

    def __init__(self, cause: RayError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class GivenUpError(Exception):
    """A call has failed as often as the retry rule allows; `verdict` says what follows."""

    def __init__(self, error: RayError, verdict: Verdict) -> None:
        super().__init__(describe(error))
        self.error, self.verdict = error, verdict


@contextlib.contextmanager
def blaming_cluster(address: str | None) -> Iterator[None]:
    """For a block that calls Ray: a lost connection there becomes UnusableError, naming the cluster."""
    try:
        yield
    except ConnectionError as error:
        cluster = f"the Ray cluster at {address}" if address else "Ray"
        raise UnusableError(
            f"the connection to {cluster} was lost ({first_line(error)}); what is finished is kept: run the same "
            "command again to go on"
        ) from error


def what_happened(error: RayError, *, is_users: bool = False) -> Happened:
    """The line of the retry rule for an error.

    `is_users` tells that the worker was checking what the user gave (an option, the corpus), so that a ValueError is
    the user's to mend. What the system refuses (files, connections) and a damaged input are no row's fault.
    """
    if isinstance(error, NodeLostError):
        return "node_lost"
    if not isinstance(error, RayTaskError):
        died = isinstance(error, ActorDiedError | OutOfMemoryError | WorkerCrashedError)
        return "worker_died" if died else "system_error"
    match error.cause:
        case OSError(errno=number) if number in REMEDIES:
            return "disk_refused"
        case OSError():
            return "system_error"
        case ValueError() if is_users:
            return "unusable"
        case DamagedError():
            return "system_error"
    return "row_error"


def unusable(error: RayError, run: RunFolder) -> UnusableError:
    """What the user is told when an error ends the run."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, OSError):
        remedy = f"{REMEDIES[cause.errno or 0]} and run the same command again to go on"
        return OptionError("run", run.shown, f"it cannot be written to ({one_line(cause)}); {remedy}")
    return cause if isinstance(cause, UnusableError) else UnusableError(str(cause))


def describe(error: BaseException) -> str:
    """The error that a worker met, in one line without its traceback."""
    cause = error.cause if isinstance(error, RayTaskError | NodeLostError) and error.cause else error
    return f"{type(cause).__name__}: {first_line(cause)}"


def describe_briefly(error: RayError) -> str:
    """What happened, for a row of `dropped`: short and without keys."""
    told = describe(error) if isinstance(error, RayTaskError) else f"the worker died: {first_line(error)}"
    line = one_line(without_keys(told))
    return line if len(line) <= MAX_LINE_CHARS else f"{line[: MAX_LINE_CHARS - 1]}…"
