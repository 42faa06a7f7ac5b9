"""`toolformer serve` as its users start it: the real command in a process of its own, on a real Ray Serve."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    process: subprocess.Popen[str]
    errors: Path
    url: str
    """Up to `/v1`."""

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def replicas(self) -> list[int]:
        """Process ids of the replicas of this very server: its Ray is its child, and the workers are Ray's."""
        listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
        parents = {int(pid): int(parent) for pid, parent, *_ in rows}
        found = [int(row[0]) for row in rows if "ServeReplica:toolformer:Replica" in row[-1]]
        return [pid for pid in found if self.process.pid in _ancestors(pid, parents)]


def _ancestors(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


def poll(is_so: Callable[[], bool], what: str, patience: float = 120.0) -> None:
    """Ask again until it is so. What happens in other processes tells nobody."""
    until = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < until, f"not within {patience:g} s: {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def served(model: str, errors: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server that ends with the context. `errors`: the file that its standard error goes to."""
    given = ["--model", model, "--port", "0", "--tools", "calculator", *options]
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "jobs.serve_model", *given],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **(environment or {})},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            found = next((match for line in process.stdout if (match := re.search(r"at (http://\S+);", line))), None)
            assert found is not None, errors.read_text()
            yield Server(process=process, errors=errors, url=found[1])
        finally:
            process.terminate()
            process.wait(timeout=60)
