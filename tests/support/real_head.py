"""A Ray head with dashboard as `ray start --head` makes it, beside whatever other Rays there are, and its `ray job`."""

import os
import secrets
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from ray.job_submission import JobSubmissionClient

PATIENCE = 300.0
ATTEMPTS = 4
PORTS = (
    *("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port"),
    *("runtime-env-agent-port", "metrics-export-port"),
)
BINARIES = Path(sys.executable).parent


@dataclass(frozen=True)
class Head:
    """A head that is up."""

    dashboard: str
    gcs: str
    folder: Path
    """All that Ray writes."""
    token: str = field(default_factory=lambda: secrets.token_hex(32))

    @property
    def environment(self) -> dict[str, str]:
        """For commands that talk to it: where it is, its token, the Python that has the packages."""
        # Of the tests' own Ray nothing is to be inherited.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
        return inherited | {
            "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
            "RAY_API_SERVER_ADDRESS": self.dashboard,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }

    @property
    def headers(self) -> dict[str, str]:
        """What lets a request in."""
        return {"Authorization": f"Bearer {self.token}"}

    def submit(self, working_dir: Path, entrypoint: Sequence[str], *options: str) -> subprocess.Popen[str]:
        """`ray job submit`, begun."""
        command = ["ray", "job", "submit", "--working-dir", ".", *options, "--", *entrypoint]
        return subprocess.Popen(
            command, cwd=working_dir, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    @property
    def client(self) -> JobSubmissionClient:
        """What `ray job` stands on."""
        return JobSubmissionClient(self.dashboard, headers=self.headers)


@contextmanager
def start_head(*options: str) -> Iterator[Head]:
    """A head of its own: ports that nobody has, a folder and a token of its own. It is gone at the end."""
    for attempt in range(ATTEMPTS):
        with ExitStack() as stack:
            # Not below pytest's folder: the paths of sockets in it have to stay below 108 characters.
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True))
            ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
            head = Head(f"http://127.0.0.1:{ports['dashboard-port']}", f"127.0.0.1:{ports['port']}", Path(folder))
            command = ["ray", "start", "--head", "--block", "--disable-usage-stats", f"--temp-dir={folder}"]
            command += [f"--{name}={port}" for name, port in ports.items()]
            command += ["--min-worker-port=0", "--max-worker-port=0", "--include-log-monitor=false", "--no-monitor"]
            command += ["--num-cpus=2", "--object-store-memory=100000000", *options]
            log = stack.enter_context((Path(folder) / "start.log").open("w+"))
            environment = head.environment | {"RAY_worker_niceness": "0", "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            stack.callback(_end, process)
            if _is_up(head, process):
                yield head
                return
            # Ray gives itself 15 seconds to start an agent; on a machine that is busy that may be too few.
            if attempt == ATTEMPTS - 1:
                raise AssertionError(f"no head came up:\n{Path(log.name).read_text()}")


def with_exit_code(entrypoint: Sequence[str]) -> list[str]:
    """The entrypoint, in a shell that outlives SIGTERM and writes the exit code into the log: Ray forgets it."""
    return ["bash", "-c", f'trap : TERM; {shlex.join(entrypoint)}; code=$?; echo "exit code $code"; exit $code']


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until something holds that a process brings about, of which nobody tells."""
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        select.select([], [], [], 0.05)


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [taken.getsockname()[1] for taken in sockets]


def _is_up(head: Head, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the head has a node, which it says last of all, or is gone."""
    ends = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < ends:
        try:
            nodes = httpx2.get(f"{head.dashboard}/nodes?view=summary", headers=head.headers, timeout=PATIENCE).json()
            if "ALIVE" in [node["raylet"].get("state") for node in nodes["data"]["summary"]]:
                return True
        except httpx2.TransportError:
            pass
        # There is nothing to wait for that would tell.
        select.select([], [], [], 0.2)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM makes `ray start --block` end what it has started; what is still there after that is of its session."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    finally:
        for number in _session(process.pid):
            os.kill(number, signal.SIGKILL)


def _session(leader: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "-s", str(leader)], capture_output=True, text=True, check=False)
    return [int(number) for number in found.stdout.split()]
