"""A cluster, a run folder and a driver in a process of its own, and what can be done to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from ray.cluster_utils import Cluster

from tests.simulation.journal import Journal
from tests.simulation.nodes import add_node
from tests.simulation.tools import Trouble
from toolformer_ray.records.run_folder import shard_name
from toolformer_ray.workflow.pipeline import PIPELINE

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 240.0
CPUS_OF_NODE = 2


@dataclass(frozen=True, kw_only=True)
class InHand:
    """A worker that lives, and the shard that it has begun and not yet written."""

    process: int
    needs: str
    node: str
    stage: str
    shard: int


class Arena:
    """One run. `options` are those of `python -m tests.simulation.simulate`."""

    def __init__(self, folder: Path, cluster: Cluster, options: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.run = folder / "run"
        self.cluster, self.log = cluster, folder / "driver.log"
        self.journal, self.trouble = Journal(str(folder / "journal")), Trouble(str(folder))
        self._options = options
        self.driver: subprocess.Popen[bytes] | None = None

    def start_driver(self, *more: str, journal: Journal | None = None) -> subprocess.Popen[bytes]:
        """Begin, or go on."""
        command = [sys.executable, "-m", "tests.simulation.simulate", str(self.run), "--address", self.cluster.address]
        command += ["--journal", (journal or self.journal).path, "--trouble", self.trouble.folder]
        self.driver = start([*command, *self._options, *more], self.log)
        return self.driver

    def workers(self) -> dict[int, dict[str, Any]]:
        """The line with which each living worker said that it is open."""
        opened = {line["process"]: line for line in self.journal.read() if line["what"] == "open"}
        return {process: line for process, line in opened.items() if is_alive(process)}

    def in_hand(self) -> list[InHand]:
        """What each worker has in hand at this moment."""
        workers = self.workers()
        begun = {line["process"]: line for line in self.journal.read() if line["what"] in ("begin", "read")}
        return [
            InHand(
                process=process,
                needs=worker["needs"],
                node=worker["node"],
                stage=begun[process]["stage"],
                shard=begun[process]["shard"],
            )
            for process, worker in workers.items()
            if process in begun and not self._is_written(begun[process])
        ]

    def freeze(self, wanted: Callable[[InHand], bool]) -> list[InHand]:
        """Stop all workers that have such a shard in hand, and say which still have it now that they stand still."""
        found = [held for held in self.in_hand() if wanted(held)]
        for held in found:
            _send(held.process, signal.SIGSTOP)
        still = self.in_hand()
        for held in found:
            if held not in still:
                _send(held.process, signal.SIGCONT)
        return [held for held in found if held in still]

    def kill_node(self, node_id: str, *, with_workers: bool) -> None:
        """End a node's own processes, and its workers too or leave these to notice; another node joins."""
        node = next(node for node in self.cluster.worker_nodes if node.node_id == node_id)
        if with_workers:
            for process, line in self.workers().items():
                if line["node"] == node_id:
                    _send(process, signal.SIGKILL)
        self.cluster.remove_node(node, allow_graceful=False)
        # Until there is a node to kill again; the others would be through with the run on a slow machine.
        self.trouble.pause()
        add_node(self.cluster, CPUS_OF_NODE)
        self.trouble.go_on()

    def _is_written(self, begun: dict[str, Any]) -> bool:
        table = next(stage.table for stage in PIPELINE if stage.name == begun["stage"])
        path = self.run / table / f"{shard_name(begun['shard'])}.parquet"
        try:
            return path.stat().st_mtime >= begun["at"]
        except FileNotFoundError:
            return False


def start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A driver in a process of its own, which writes to a log."""
    with log.open("ab") as file:
        return subprocess.Popen(command, cwd=REPOSITORY, stdout=file, stderr=file, start_new_session=True)


def num_outputs(run: Path) -> int:
    """Shards written in a run folder, all tables together."""
    return sum(1 for stage in PIPELINE for _ in (run / stage.table).glob("part*.parquet"))


def is_alive(process: int) -> bool:
    """Whether a process is there and not just a name that nobody has asked for yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(is_so: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Look every few milliseconds until it is so; what came of looking. Raises TimeoutError, saying what."""
    deadline = monotonic() + patience
    while not (found := is_so()):
        if monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} seconds for {what}")
        sleep(0.01)
    return found


def _send(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
