"""The retry rule as a table: what happened, what it costs, what follows; and which line of it an error is."""

import errno
from typing import get_args

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError, RaySystemError, RayTaskError

from toolformer_ray.jobs.driver.failures import NodeLostError, what_happened
from toolformer_ray.jobs.driver.retry import MAX_LOSSES, RULES, Happened, Tries, Verdict
from toolformer_ray.records.run_folder import DamagedError


def raised(cause: Exception) -> RayTaskError:
    """What Ray makes of an error in a worker."""
    return RayTaskError("work", "its traceback", cause)


@pytest.mark.parametrize(
    ("happened", "num_retries", "then"),
    [
        ("row_error", 2, "isolate"),
        ("worker_died", 2, "isolate"),
        ("system_error", 2, "put_aside"),
        ("node_lost", MAX_LOSSES - 1, "put_aside"),
        ("disk_refused", 0, "end_run"),
        ("unusable", 0, "end_run"),
    ],
)
def test_what_fails_is_tried_again_so_often_and_then(happened: Happened, num_retries: int, then: Verdict) -> None:
    tries = Tries(max_attempts=3, retry_delay=1.0)
    assert [tries.count(happened) for _ in range(num_retries + 1)] == ["retry"] * num_retries + [then]


def test_every_happening_has_a_line_of_the_table() -> None:
    assert RULES.keys() == set(get_args(Happened))


def test_the_loss_of_a_node_costs_no_attempt() -> None:
    tries = Tries(max_attempts=2, retry_delay=1.0)
    assert [tries.count(what) for what in ("node_lost", "row_error", "node_lost", "row_error")] == [
        *("retry", "retry", "retry", "isolate")
    ]
    assert (tries.num_attempts, tries.num_losses, tries.total) == (2, 2, 4)


def test_delays_double_up_to_a_minute() -> None:
    tries, delays = Tries(max_attempts=9, retry_delay=1.0), []
    for _ in range(8):
        tries.count("row_error")
        delays.append(tries.delay)
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize(
    ("error", "happened"),
    [
        (raised(RuntimeError("a bug")), "row_error"),
        (raised(ValueError("a bug")), "row_error"),
        (raised(OSError(errno.EIO, "read error")), "system_error"),
        (raised(ConnectionError("reset")), "system_error"),
        (raised(DamagedError("part-00001 is damaged")), "system_error"),
        (raised(OSError(errno.ENOSPC, "full")), "disk_refused"),
        (raised(OSError(errno.EROFS, "read-only")), "disk_refused"),
        (ActorDiedError(), "worker_died"),
        (OutOfMemoryError("killed"), "worker_died"),
        (RaySystemError("Ray is unwell"), "system_error"),
        (NodeLostError(ActorDiedError()), "node_lost"),
    ],
)
def test_an_error_is_told_by_its_type(error: Exception, happened: Happened) -> None:
    assert what_happened(error) == happened


def test_only_where_a_worker_checks_what_the_user_gave_is_a_wrong_value_the_user_s() -> None:
    assert what_happened(raised(ValueError("no column 'text'")), is_users=True) == "unusable"
    assert what_happened(raised(KeyError("a bug")), is_users=True) == "row_error"
