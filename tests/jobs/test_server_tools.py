"""A tool of an MCP server is taught like any other, and a server that dies and comes back changes no row."""

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.calling_run import assert_same_rows, read_all
from tests.support.refusals import Refuse
from tests.support.tool_servers import UNITS, write_file
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.stages import Executed
from toolformer_ray.tools.servers.mcp_session import close_sessions

NUM_TEXTS = 80
NUM_KILLS = 10
pytestmark = pytest.mark.usefixtures("workers_in_process")


@pytest.fixture(scope="module")
def converting_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"), tool="Convert")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a user works: a corpus, and a file that tells of a server, whose processes leave their numbers there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNITS_PIDS", str(tmp_path / "pids"))
    monkeypatch.setenv("UNITS_SECONDS", "0.1")
    lines = [json.dumps({"text": f"Mill {number} ground {400 + number} sacks."}) for number in range(NUM_TEXTS)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    told = {
        "command": sys.executable,
        "args": [UNITS],
        "environment": ["UNITS_PIDS", "UNITS_SECONDS"],
        "tools": ["convert"],
    }
    write_file(tmp_path, {"mcp.units": told})
    yield tmp_path
    close_sessions()


def arguments(model: str, run: str, *more: str) -> list[str]:
    return [
        *("annotate", "--run", run, "--corpus", "texts.jsonl", "--model", model, "--tools", "mcp:units"),
        *("--as-in-paper", "--max-call-tokens", "10", "--convert.max-places", "8"),
        *("--convert.min-open-probability", "0", "--convert.num-samples", "40", "--convert.min-loss-reduction=-9"),
        *("--model-workers", "1", "--shard-size", "4", *more),
    ]


class Killer:
    """Kills a process of the server in the middle of its second conversion, so many times."""

    def __init__(self, pids: Path, times: int) -> None:
        self._pids, self._times = pids, times
        self._stop = threading.Event()
        self.killed: list[int] = []
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Killer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while len(self.killed) < self._times and not self._stop.wait(0.02):
            noted = Counter(map(int, self._pids.read_text().split()))
            for process, times in noted.items():
                if times > 1 and process not in self.killed:
                    os.kill(process, signal.SIGKILL)
                    self.killed.append(process)


def test_a_server_that_is_killed_ten_times_in_mid_run_costs_no_row(folder: Path, converting_model: str) -> None:
    assert main(arguments(converting_model, "undisturbed")) == 0
    asked = [row for row in read_all("undisturbed", "executed", Executed) if row.status == "ok"]
    assert asked and all(row.result and row.result.endswith(" m") for row in asked)
    close_sessions()
    (folder / "pids").write_text("")
    with Killer(folder / "pids", times=NUM_KILLS) as killer:
        assert main(arguments(converting_model, "disturbed", "--max-in-flight", "1")) == 0
    assert len(killer.killed) == NUM_KILLS
    assert_same_rows("undisturbed", "disturbed")


def test_a_run_is_recorded_and_replayed_and_its_server_is_told_of_in_another_file(
    folder: Path, converting_model: str
) -> None:
    (folder / "tool_servers.toml").rename(folder / "servers.toml")
    servers = ("--tool-servers", "servers.toml", "--max-documents", "8")
    assert main(arguments(converting_model, "recorded", *servers, "--record", "answers")) == 0
    assert main(arguments(converting_model, "replayed", *servers, "--replay", "answers")) == 0
    assert_same_rows("recorded", "replayed")
    replayed = read_all("replayed", "executed", Executed)
    assert replayed and all(row.from_cache for row in replayed)


def test_a_server_that_cannot_be_used_is_one_line(folder: Path, converting_model: str, refuse: Refuse) -> None:
    assert refuse(*arguments(converting_model, "run"), "--tool-servers", "none.toml").startswith(
        "--tool-servers is none.toml; there is no such file"
    )
    write_file(folder, {"mcp.units": {"command": sys.executable, "args": [UNITS], "environment": ["NO_SUCH_KEY"]}})
    line = refuse(*arguments(converting_model, "run"))
    assert "tool_servers.toml: mcp.units.environment names the variable NO_SUCH_KEY" in line
