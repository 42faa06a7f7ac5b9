"""A driver in a process of its own, stopped or killed in mid-run: nothing finished is lost, nothing is left running."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.gate import Gate
from tests.support.small_jobs import SmallRecipe, read_rows, run_small_job

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 120.0


@contextmanager
def driver_at_gate(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A driver whose worker has come to the gate, scoring the third shard; and the worker's process id."""
    gate = Gate(str(folder / "gate")).build()
    command = [sys.executable, "-m", "tests.support.small_jobs", str(folder / "run"), gate.folder]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process, gate.wait_for_worker()
        finally:
            process.kill()


def wait_until_gone(process_id: int) -> bool:
    try:
        watched = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], PATIENCE)[0])
    finally:
        os.close(watched)


def resume_and_compare(folder: Path) -> None:
    assert not (folder / "run/augmented/part-00002.parquet").exists()
    resumed = run_small_job(folder / "run", SmallRecipe())
    assert resumed.last.state == "finished"
    # The shard at the gate had been proposed and executed.
    assert resumed.ledger.num_skipped >= 2
    assert resumed.ledger.num_new_texts >= 3
    run_small_job(folder / "undisturbed", SmallRecipe())
    assert read_rows(folder / "run") == read_rows(folder / "undisturbed")


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_run_and_keeps_finished_shards(
    number: signal.Signals, exit_code: int, tmp_path: Path, shared_ray: str
) -> None:
    with driver_at_gate(tmp_path) as (process, worker):
        # As if a worker were killed while it writes.
        (tmp_path / "run/propose.tmp").touch()
        # A terminal sends Ctrl-C to the whole group, a supervisor sends SIGTERM to the one process.
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == exit_code, errors
        assert "Traceback" not in errors
        assert wait_until_gone(worker)
    assert not list((tmp_path / "run").glob("**/*.tmp"))


def test_a_killed_driver_leaves_no_process_and_the_same_rows_once_resumed(tmp_path: Path, shared_ray: str) -> None:
    with driver_at_gate(tmp_path) as (process, worker):
        process.kill()
        process.wait(PATIENCE)
        assert wait_until_gone(worker)
    resume_and_compare(tmp_path)
