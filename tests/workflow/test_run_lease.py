"""Two drivers on one run folder: the second stops, unless the first is dead. No clock is asked for the time of day."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.small_jobs import Interrupts, SmallRecipe, make_job
from toolformer_ray.jobs.driver.loop import Driver
from toolformer_ray.jobs.driver.run_job import run_job
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.lease import LEASE_FILE, SECONDS_TO_EXPIRY, Lease, hold_run, make_lease

ELSEWHERE = Lease(owner="other", machine="far away", process=7, beat=3)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path))


def write(run: RunFolder, lease: Lease) -> None:
    run.write_json(LEASE_FILE, asdict(lease))


def not_waiting(_: float) -> None:
    """Time does not pass."""


def test_a_second_driver_on_this_machine_is_refused_at_once_and_a_third_one_goes_on_later(run: RunFolder) -> None:
    with hold_run(run, not_waiting):
        told = rf"another driver \(process {os.getpid()} on .*\) is working on {run.root}"
        with pytest.raises(ValueError, match=told), hold_run(run, not_waiting):
            pass
        assert run.read_json(LEASE_FILE)
    assert run.read_json(LEASE_FILE) is None
    with hold_run(run, not_waiting):
        pass


def test_a_driver_of_this_machine_whose_process_is_gone_is_followed_at_once(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    write(run, make_lease(gone.pid))
    waited: list[float] = []
    with hold_run(run, waited.append):
        pass
    assert sum(waited) < 1
    assert f"(process {gone.pid} on" in capsys.readouterr().err


def test_a_process_that_has_got_the_number_of_a_driver_that_is_gone_is_not_taken_for_it(run: RunFolder) -> None:
    write(run, replace(make_lease(os.getpid()), started="long ago"))
    with hold_run(run, not_waiting):
        pass


def test_another_user_s_driver_on_this_machine_is_left_alone(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    with hold_run(run, not_waiting):
        monkeypatch.setattr("os.kill", refuse)
        with pytest.raises(ValueError, match="another driver"), hold_run(run, not_waiting):
            pass


def test_a_process_of_which_nobody_tells_when_it_began_is_alive_as_long_as_it_renews(run: RunFolder) -> None:
    holder = replace(make_lease(os.getpid()), started="")
    write(run, holder)
    with (
        pytest.raises(ValueError, match="another driver"),
        hold_run(run, lambda _: write(run, replace(holder, beat=1))),
    ):
        pass
    waited: list[float] = []
    with hold_run(run, waited.append):
        assert sum(waited) > SECONDS_TO_EXPIRY


def test_a_driver_elsewhere_that_renews_its_lease_is_left_alone(run: RunFolder) -> None:
    write(run, ELSEWHERE)
    renewals: list[Callable[[], None]] = [lambda: None, lambda: write(run, replace(ELSEWHERE, beat=4))]
    told = r"another driver \(process 7 on far\) is working"
    with pytest.raises(ValueError, match=told), hold_run(run, lambda _: renewals.pop(0)()):
        pass
    assert run.read_json(LEASE_FILE)["owner"] == "other"


def test_a_driver_elsewhere_that_is_silent_for_long_is_followed(run: RunFolder) -> None:
    write(run, ELSEWHERE)
    waited: list[float] = []
    with hold_run(run, waited.append):
        assert sum(waited) > SECONDS_TO_EXPIRY
        assert run.read_json(LEASE_FILE)["owner"] != "other"


def test_of_two_that_begin_in_the_same_instant_the_first_to_write_gives_way(run: RunFolder) -> None:
    with pytest.raises(ValueError, match="has begun to work"), hold_run(run, lambda _: write(run, ELSEWHERE)):
        pass
    assert run.read_json(LEASE_FILE)["owner"] == "other"


def test_a_driver_that_was_suspended_finds_its_successor_and_ends(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_run(run, not_waiting) as holder:
        assert holder.beat()
        write(run, ELSEWHERE)
        assert not holder.beat()
        assert holder.taken_by == ELSEWHERE
        job = replace(make_job(Path(run.root), SmallRecipe()), taken_by=lambda: holder.taken_by)
        # The loop that would hand out shards: it ends only by being told to.
        monkeypatch.setattr(Driver, "drive", wait_for_end)
        with Interrupts() as interrupts, pytest.raises(UnusableError, match=r"\(process 7 on far\) has taken over"):
            run_job(job, interrupts)
    assert run.read_json(LEASE_FILE)["owner"] == "other"


async def wait_for_end(driver: Driver, **_: object) -> None:
    await driver._ended


def test_a_lease_that_cannot_be_read_is_nobody_s(run: RunFolder) -> None:
    (Path(run.root) / LEASE_FILE).write_bytes(b"half a l")
    with hold_run(run, not_waiting):
        pass
