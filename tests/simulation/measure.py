"""What a run costs beside its model and tools: a simulated run in a process of its own, watched from outside.

    python -m tests.simulation.measure                                  stages that do nothing, on a Ray of its own
    python -m tests.simulation.measure --nodes 4 --texts 1000000        a simulated model, on a cluster of four nodes

Every shard goes through all five stages: read from disk, done by an actor, written, renamed. CPU time tells more than
the clock where other work goes on beside it. The nodes are Ray's own for tests, all on this machine. Needs Linux.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.journal import Journal
from tests.simulation.nodes import cluster_of

CPUS_OF_NODE = 4
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
DRIVER, WORKERS, RAY = "driver", "workers", "Ray"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One moment of a run."""

    num_done: int
    """Shards that are through all stages."""
    seconds: float
    """By a clock that has no beginning."""
    cpu_seconds: Mapping[str, float]
    """User and system time so far, of the driver, its workers, and Ray's own processes."""
    driver_bytes: int
    """The driver's resident memory."""


def watch(driver: subprocess.Popen[bytes], run: Path, every: float) -> list[Sample]:
    """Look every so many seconds at a driver, and at all else that descends from this process, until it ends."""
    samples: list[Sample] = []
    seen: dict[int, tuple[str, float]] = {}
    while True:
        try:
            driver.wait(every)
            return samples
        except subprocess.TimeoutExpired:
            # Processes that have ended keep the time that they had taken.
            seen.update(_descendants(driver.pid))
            spent = dict.fromkeys((DRIVER, WORKERS, RAY), 0.0)
            for kind, seconds in seen.values():
                spent[kind] += seconds
            sample = Sample(
                num_done=_num_files(run / "augmented"),
                seconds=time.monotonic(),
                cpu_seconds=spent,
                driver_bytes=_resident_bytes(driver.pid),
            )
            samples.append(sample)


def usage_table(samples: Sequence[Sample], step: int) -> str:
    """A line for every so many shards: the driver's memory, and what each of them has cost since the line before."""
    lines = ["| shards | driver MiB | ms a shard | driver CPU ms | workers CPU ms | Ray CPU ms |", "|--:" * 6 + "|"]
    before = next((sample for sample in samples if sample.num_done), None)
    for now in samples:
        if before and now.num_done - before.num_done >= step:
            spent = [now.seconds - before.seconds]
            spent += [now.cpu_seconds[kind] - before.cpu_seconds[kind] for kind in (DRIVER, WORKERS, RAY)]
            each = " | ".join(f"{1000 * seconds / (now.num_done - before.num_done):.2f}" for seconds in spent)
            lines.append(f"| {now.num_done:,} | {now.driver_bytes / 2**20:.0f} | {each} |")
            before = now
    return "\n".join(lines)


def figures(run: Path, started: float) -> dict[str, float]:
    """From the files' times: seconds until the first shard was through, Ray's start included; then ms a shard."""
    written = sorted(path.stat().st_mtime for path in (run / "augmented").glob("*.parquet"))
    per_shard = (written[-1] - written[0]) / max(1, len(written) - 1)
    return {"shards": len(written), "first_result_s": written[0] - started, "ms_per_shard": 1000 * per_shard}


def capacity_used(journal: Journal, num_workers: int) -> str:
    """How much of the time of the model's workers was service, and how long they took to open."""
    lines = journal.read()
    work = [line for line in lines if line.get("stage") in ("propose", "score")]
    begun, ended = ([line for line in work if line["what"] == what] for what in ("begin", "end"))
    served = sum(line["seconds"] for line in ended)
    capacity = num_workers * (max(line["at"] for line in ended) - min(line["at"] for line in begun))
    opened = [line["at"] for line in lines if line["what"] == "open" and line["needs"] == "model"]
    return (
        f"last of {num_workers} model workers opened {max(opened) - min(opened):.1f} s after the first\n"
        f"model workers: {served:,.0f} s of service in {capacity:,.0f} s of capacity, {served / capacity:.0%}"
    )


def bytes_per_text(run: Path, num_texts: int) -> str:
    """What each table of a run takes."""
    sizes = Counter[str]()
    for path in run.glob("*/*.parquet"):
        sizes[path.parent.name] += path.stat().st_size
    return ", ".join(f"{table} {size / num_texts:,.0f}" for table, size in sizes.items())


def measure(arguments: Sequence[str] = ()) -> tuple[dict[str, float], list[Sample]]:
    """Run, watch and print."""
    asked = _parse(arguments)
    num_workers = CPUS_OF_NODE * asked.nodes or 1
    num_texts = asked.texts or asked.shards
    with tempfile.TemporaryDirectory(prefix="measure-") as folder, ExitStack() as stack:
        journal, run = Journal(f"{folder}/journal"), Path(folder) / "run"
        command = [sys.executable, "-m", "tests.simulation.simulate", str(run)]
        command += ["--texts", str(num_texts), "--shards", str(asked.shards), "--model-workers", str(num_workers)]
        if asked.nodes:
            cluster = stack.enter_context(cluster_of(asked.nodes, CPUS_OF_NODE))
            command += ["--address", cluster.address, "--tool-workers", "4", "--journal", journal.path]
        command += ["--speedup", str(asked.speedup)] if asked.nodes else ["--no-tools"]
        started = time.time()
        with subprocess.Popen(command) as driver:
            samples = watch(driver, run, asked.every)
        if driver.returncode:
            raise RuntimeError(f"the run ended with {driver.returncode}")
        told = figures(run, started)
        print(f"{num_texts:,} texts, {time.time() - started:,.0f} s")
        print("\n".join(f"{name:>16} {value:,.2f}" for name, value in told.items()))
        print(f"\n{usage_table(samples, asked.step or max(1, asked.shards // 10))}\n")
        if asked.nodes:
            print(capacity_used(journal, num_workers))
            print(f"bytes a text: {bytes_per_text(run, num_texts)}")
    return told, samples


def _descendants(driver: int) -> Iterator[tuple[int, tuple[str, float]]]:
    processes = dict(_all_processes())
    family = {os.getpid()}
    while born := {pid for pid, (parent, _, _) in processes.items() if parent in family and pid not in family}:
        family |= born
    for pid in family - {os.getpid()}:
        _, title, seconds = processes[pid]
        yield pid, (DRIVER if pid == driver else WORKERS if title.startswith("ray::ShardActor") else RAY, seconds)


def _all_processes() -> Iterator[tuple[int, tuple[int, str, float]]]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            # The name in parentheses may hold anything; what follows are numbers.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        # A process that has ended and was not waited for has no title any more; what was seen of it before counts.
        if title:
            yield int(folder.name), (int(fields[1]), title, (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND)


def _resident_bytes(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError):  # it has just ended
        return 0


def _num_files(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.exists() else 0  # noqa: PTH208 - a Path for each file takes longer


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.measure")
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--texts", type=int, help="by default one a shard")
    parser.add_argument("--nodes", type=int, default=0, help="of a cluster; by default a Ray of its own")
    parser.add_argument("--speedup", type=float, default=20.0, help="of the simulated model and tools, on a cluster")
    parser.add_argument("--step", type=int, help="shards from line to line; by default a tenth of them")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two looks at the driver")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    measure(sys.argv[1:])
