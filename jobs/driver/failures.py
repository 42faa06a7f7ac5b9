"""What a failed call of a worker means: try again, or tell the user what to change."""

import contextlib
import traceback
from collections.abc import Iterator

from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError, WorkerCrashedError

from toolformer_ray.jobs.driver.task import Task
from toolformer_ray.records.errors import UnusableError, first_line
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import DamagedError, RunFolder
from toolformer_ray.workflow.run_folder_errors import REMEDIES, blaming_run_folder

MAX_LINE_CHARS = 300


@contextlib.contextmanager
def blaming_cluster(address: str | None) -> Iterator[None]:
    """For a block that asks Ray: a lost connection there is UnusableError, naming the cluster."""
    try:
        yield
    except ConnectionError as error:
        cluster = f"the Ray cluster at --address {address}" if address else "Ray"
        raise UnusableError(
            f"the connection to {cluster} was lost ({first_line(error)}); what is finished is kept: run the same "
            "command again to go on"
        ) from error


def raise_if_refused(error: RayError) -> None:
    """Raise UnusableError if a worker found that an option or the corpus cannot be used: no retry helps."""
    if isinstance(error, RayTaskError) and isinstance(error.cause, ValueError):
        raise UnusableError(str(error.cause)) from error


def raise_if_disk_refuses(error: RayError, run: RunFolder) -> None:
    """Raise UnusableError if the run folder could not be written to."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, OSError) and cause.errno in REMEDIES:
        raise UnusableError(
            f"--run {run.shown} cannot be written to ({cause}); {REMEDIES[cause.errno]} and run the same command "
            "again to go on"
        ) from error


def put_aside(run: RunFolder, task: Task, error: RayError, reason: str) -> None:
    """Write down, in `failed/`, that a shard could not be done, and why not without a few of its rows."""
    failure = {
        "stage": task.stage.name,
        "shard": task.shard,
        "attempts": task.num_attempts,
        "error": without_keys(one_line(error)),
        "not_without_some_rows": reason,
        "traceback": without_keys("".join(traceback.format_exception(error))),
    }
    with blaming_run_folder(run):
        run.write_json(f"failed/{task.stage.name}/{task.shard}.json", failure)


def log_fields(task: Task, error: RayError) -> dict[str, object]:
    """What the log says of a shard that failed."""
    attempt = task.num_attempts + task.num_losses
    return {"stage": task.stage.name, "shard": task.shard, "attempt": attempt, "error": one_line(error)}


def may_be_fault_of_rows(error: RayError) -> bool:
    """Whether a shard may have failed over some of its rows: by an error in its stage, or by taking its worker down.

    What the system refuses (files, connections) and a damaged input are no row's fault.
    """
    if isinstance(error, RayTaskError):
        return not isinstance(error.cause, OSError | DamagedError)
    return isinstance(error, ActorDiedError | OutOfMemoryError | WorkerCrashedError)


def told_in_a_line(error: RayError) -> str:
    """What happened, for a row of `dropped`: short and without keys."""
    told = one_line(error) if isinstance(error, RayTaskError) else f"the worker died: {first_line(error)}"
    line = " ".join(without_keys(told).split())
    return line if len(line) <= MAX_LINE_CHARS else f"{line[: MAX_LINE_CHARS - 1]}…"


def one_line(error: RayError) -> str:
    """The error that a worker met, without its traceback."""
    cause = error.cause if isinstance(error, RayTaskError) and error.cause else error
    return f"{type(cause).__name__}: {first_line(cause)}"
