"""`toolformer status`: what the folder tells, however little that is."""

import io
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from tests.support.small_run import SHARD, write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.counts import read_counts
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Candidate
from toolformer_ray.workflow.book.lease import LEASE_FILE, make_lease
from toolformer_ray.workflow.report.show import StatusOptions, describe_state, describe_status, to_json, watch
from toolformer_ray.workflow.report.status import Failure, read_status


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_small_run(str(tmp_path / "run"))


@pytest.mark.parametrize("told", [{}, {"settings": {"tools": ["abacus"]}}])
def test_the_tools_are_those_that_were_counted_if_nobody_knows_those_of_the_run(
    told: object, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_json("run.json", told)
    counts = read_counts({"calls..Abacus": 3, "dropped.not_offered.MT": 1, "rows": 4})
    run.write_shard("candidates", SHARD, Candidate, [], fingerprint="0", counts=counts)
    assert main(["status", run.location]) == 0
    output, errors = capsys.readouterr()
    assert [line.split()[0] for line in output.splitlines() if line.startswith(("Abacus", "MT"))] == ["Abacus", "MT"]
    (line,) = errors.splitlines()
    assert line.endswith("; the tools shown are those that were counted")
    assert main(["query", run.location, "select 1 as one"]) == 0


def say(run: RunFolder, state: str = "running", **more: object) -> None:
    """What a driver would have written just now."""
    told = {"state": state, "updated": time.time(), "texts": 1500, "finished_texts": 500, "texts_per_second": 2.0}
    run.write_json("progress.json", told | {"seconds_left": 500.0, "in_flight": {"score": 1}} | more)


def hold(run: RunFolder, process: int, machine: str | None = None, beat: int = 0) -> None:
    """A lease as the driver of this process id would have written it."""
    lease = make_lease(process)
    run.write_json(LEASE_FILE, asdict(replace(lease, machine=machine or lease.machine, beat=beat)))


def refuse_to_wait(_: float) -> None:
    raise AssertionError("there is nothing to wait for")


TOTALS = {
    "shards": 6,
    "done": {"ingest": 6, "propose": 5, "execute": 4, "score": 2, "interleave": 2},
    "failed": {"execute": 1},
    "failures": ["execute/part-00004"],
    "tried_again": {"execute": 2, "score": 3},
    "counts": {"ingest": {"rows": 1500}, "propose": {"calls..MT": 70}, "execute": {"asked..MT": 9}},
}


def test_while_a_driver_lives_its_totals_are_shown_and_no_footer_is_read(run: RunFolder) -> None:
    run.write_json("failed/execute/part-00004.json", {"attempts": 3, "error": "OSError: gone\nmore"})
    run.write_json("failed/execute/part-00001.json", {"attempts": 3, "error": "of an earlier run, being tried again"})
    (Path(run.root) / "executed" / f"{SHARD}.parquet").write_bytes(b"no Parquet: whoever reads it finds it damaged")
    hold(run, os.getpid())
    say(run, **TOTALS)
    status = read_status(run, refuse_to_wait)
    assert (status.state, status.remarks) == ("running", [])
    # 6 shards: one failed while executing and goes no further.
    rows = [(row.stage, row.shards_done, row.running, row.failed, row.to_do, row.tried_again) for row in status.stages]
    assert rows == [
        ("ingest", 6, 0, 0, 0, 0),
        ("propose", 5, 0, 0, 1, 0),
        ("execute", 4, 0, 1, 1, 2),
        ("score", 2, 1, 0, 2, 3),
        ("interleave", 2, 0, 0, 3, 0),
    ]
    assert status.failures == [Failure(stage="execute", shard="part-00004", attempts=3, error="OSError: gone")]
    told = to_json(status)
    assert (told["texts_per_second"], told["seconds_left"]) == (2.0, 500.0)
    (tool,) = [row for row in told["tools"] if row["tool"] == "MT"]
    assert (tool["calls"], tool["asked"], tool["p50"]) == (70, 9, None)


def test_without_a_driver_the_footers_are_read(run: RunFolder) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    hold(run, gone.pid)
    say(run, **TOTALS)
    run.write_json("failed/score/part-00009.json", {"attempts": 2, "error": "RuntimeError: broken"})
    status = read_status(run, refuse_to_wait)
    assert status.state == "lost" and "run the same command again" in describe_state(status)
    assert [row.shards_done for row in status.stages] == [1, 1, 1, 1, 1]
    assert [row.failed for row in status.stages] == [0, 0, 0, 1, 0]
    assert "score      part-00009         2  RuntimeError: broken" in describe_status(status)


@pytest.mark.parametrize("updated", [0.0, 4e9])
def test_a_driver_of_a_machine_whose_clock_is_wrong_lives_if_it_goes_on_writing(run: RunFolder, updated: float) -> None:
    hold(run, 7, machine="far away")
    say(run, **TOTALS, updated=updated)
    assert read_status(run, lambda _: hold(run, 7, "far away", beat=1)).state == "running"
    assert read_status(run, lambda _: None).state == "lost"


def test_a_run_whose_workers_are_not_there_yet_is_starting_and_watched_on(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(run, os.getpid())
    say(run, "starting", **TOTALS)
    assert read_status(run, refuse_to_wait).is_running
    assert watch(run, StatusOptions(watch=60.0), lambda _: say(run, "stopped")) == 0
    assert capsys.readouterr().out.startswith("starting: 500 of 1,500 texts are through")


def test_a_driver_that_dies_as_it_starts_is_lost(run: RunFolder) -> None:
    say(run, "starting", **TOTALS)
    assert read_status(run, refuse_to_wait).state == "lost"


def test_a_watch_ends_with_the_run_and_shows_all_of_it(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    hold(run, os.getpid())
    say(run, **TOTALS)
    looks = iter([say, lambda run: say(run, "finished", finished_texts=1500)])
    assert watch(run, StatusOptions(watch=60.0), lambda _: next(looks)(run)) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first == second == "running: 500 of 1,500 texts are through, 2.0 texts/s, 8 min 20 s left"
    assert rest[0].startswith("finished: 1,500 of 1,500") and rest[2].startswith("stage ")

    say(run, **TOTALS)
    watch(run, StatusOptions(watch=True, json=True), lambda _: say(run, "failed"))
    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == ["running", "failed"]


def test_a_watch_on_a_terminal_redraws_in_place(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    hold(run, os.getpid())
    say(run, **TOTALS)
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=10)
    looks = iter([say, lambda run: say(run, "stopped")])
    assert watch(run, StatusOptions(watch=True), lambda _: next(looks)(run), console) == 0
    drawn = console.file.getvalue()
    assert drawn.count("running: 500 of 1,500") == 2 and "\x1b[1A" in drawn
    assert max(len(line) for line in Text.from_ansi(drawn).plain.splitlines()) <= 60
    assert capsys.readouterr().out.startswith("stopped: 500 of 1,500")


def test_ctrl_c_ends_a_watch_and_not_the_run(run: RunFolder) -> None:
    def press(_: float) -> None:
        raise KeyboardInterrupt

    hold(run, os.getpid())
    say(run, **TOTALS)
    for console in (Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)):
        assert watch(run, StatusOptions(watch=True), press, console) == 0


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_a_watch_needs_time_between_two_looks(run: RunFolder, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", run.location, f"--watch={seconds}"]) == 2
    assert capsys.readouterr().err == f"toolformer: --watch is {float(seconds)}; it must be more than 0 seconds\n"
