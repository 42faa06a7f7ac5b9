"""Two hundred programs that mean harm: none gets anything, none takes more than it may, and the tool goes on."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_programs import PLANTED, hostile_programs

MAX_SECONDS, MAX_MEGABYTES = 0.3, 32
SECONDS_MORE = 4.0
"""Two of which a program has to end by itself; then its process is replaced, on a machine that may be busy."""


def ask(programs: list[str], **options: Any) -> dict[str, Any]:
    given = json.dumps({"options": options, "programs": programs})
    command = [sys.executable, "-m", "tests.support.ask_python"]
    planted = {**os.environ, "PLANTED": PLANTED}
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, env=planted, timeout=240)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All hostile programs, and a harmless one behind each family, in one process."""
    folder = tmp_path_factory.mktemp("outside")
    secret = folder / "secret"
    secret.write_text(PLANTED)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        families = hostile_programs(str(secret), listening.getsockname()[1])
        programs = [one for family in families.values() for one in (*family, "6 * 7")]
        found = ask(programs, max_seconds=MAX_SECONDS, max_memory=MAX_MEGABYTES)
        listening.settimeout(0.01)
        try:
            listening.accept()
            found["was_reached"] = True
        except TimeoutError:
            found["was_reached"] = False
    found["families"] = families
    found["by_program"] = list(zip(programs, found["outcomes"], strict=True))
    found["files"] = {path.name: path.read_text() for path in folder.iterdir()}
    return found


def hostile(tried: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(program, outcome) for program, outcome in tried["by_program"] if program != "6 * 7"]


def test_there_are_two_hundred_hostile_programs_of_twelve_families(tried: dict[str, Any]) -> None:
    assert len({program for program, _ in hostile(tried)}) >= 200
    assert len(tried["families"]) == 12


def test_each_hostile_program_is_refused_or_times_out(tried: dict[str, Any]) -> None:
    got_through = [(program, outcome) for program, outcome in hostile(tried) if outcome[0] not in REFUSED]
    assert got_through == []


REFUSED = ("bad_input", "timeout")


def test_nothing_outside_was_read_written_or_reached(tried: dict[str, Any]) -> None:
    assert tried["files"] == {"secret": PLANTED}
    assert not tried["was_reached"]
    assert PLANTED not in json.dumps(tried["outcomes"])


def test_a_program_ends_at_its_time_limit_or_soon_after(tried: dict[str, Any]) -> None:
    longest = max(tried["by_program"], key=lambda each: each[1][2])
    assert longest[1][2] < MAX_SECONDS + SECONDS_MORE, longest


def test_the_process_of_the_sandbox_grows_to_its_limit_and_the_one_that_asks_not_at_all(tried: dict[str, Any]) -> None:
    asking, sandbox = tried["megabytes"]
    idle, _ = ask(["6 * 7"])["megabytes"]
    assert asking < idle + 16
    # What grows is copied: for a moment there are the old one and the new one, beside the interpreter itself.
    assert sandbox < 2 * MAX_MEGABYTES + 32


def test_a_harmless_program_is_answered_behind_each_family(tried: dict[str, Any]) -> None:
    answers = [outcome[:2] for program, outcome in tried["by_program"] if program == "6 * 7"]
    assert answers == [["ok", "42"]] * 12


def test_a_program_may_fill_the_memory_that_it_is_given_and_take_the_time() -> None:
    programs = ["len('x' * 20_000_000)", "n = 0\nwhile n < 300_000: n += 1\nn"]
    answers = ask(programs, max_seconds=20, max_memory=64)["outcomes"]
    assert [answer[:2] for answer in answers] == [["ok", "20000000"], ["ok", "300000"]]
    assert [answer[0] for answer in ask(programs, max_seconds=0.001, max_memory=8)["outcomes"]] == REFUSED_BOTH


REFUSED_BOTH = ["bad_input", "timeout"]


def test_the_process_of_the_sandbox_ends_with_the_one_that_asks(tmp_path: Path) -> None:
    script = (
        "import os, subprocess; from toolformer_ray.tools.python import Python; tool = Python(); tool.open(); "
        "children = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(os.getpid())], capture_output=True, text=True); "
        "print(children.stdout.split()[0], flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    pid = int(done.stdout)
    with subprocess.Popen(["tail", f"--pid={pid}", "-f", os.devnull]) as waiting:
        assert waiting.wait(timeout=30) == 0
