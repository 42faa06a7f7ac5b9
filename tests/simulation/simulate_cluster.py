"""What the driver needs for a large corpus: `make simulate`, a run of `tests.simulation.simulate` on a cluster of
four nodes.

The nodes are Ray's own for tests: each has its raylet, all stand on this machine. The driver is watched from outside:
its memory, its processor time and the shards that were written, every few seconds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.journal import Journal
from tests.simulation.nodes import cluster_of
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import TABLE_OF_STAGE

CPUS_OF_NODE = 4
NUM_ROWS_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The driver at one moment."""

    seconds: float
    """Since it was started."""
    memory: int
    """Bytes that it holds."""
    processor: float
    """Seconds of a core that it has used."""
    outputs: int
    """Shards written, all tables together."""


def watch(driver: subprocess.Popen[bytes], run: Path, every: float) -> list[Sample]:
    """Look at a driver until it ends."""
    started, samples = time.monotonic(), list[Sample]()
    while True:
        try:
            driver.wait(every)
            return samples
        except subprocess.TimeoutExpired:
            memory, processor = _usage(driver.pid)
            seconds, outputs = time.monotonic() - started, _num_outputs(run)
            if memory:  # else it has just ended
                samples.append(Sample(seconds=seconds, memory=memory, processor=processor, outputs=outputs))


def report(samples: Sequence[Sample], journal: Journal, run: RunFolder, num_model_workers: int) -> str:
    """The figures: start-up, the driver's cost, its memory over time, and how much of the capacity was used."""
    lines = journal.read()
    begun = [line["at"] for line in lines if line["what"] == "begin" and line["stage"] in ("propose", "score")]
    ended = [line["at"] for line in lines if line["what"] == "end" and line["stage"] in ("propose", "score")]
    served = sum(line["seconds"] for line in lines if line["what"] == "end" and line["stage"] in ("propose", "score"))
    first, last = next(sample for sample in samples if sample.outputs), samples[-1]
    num_shards = max(1, (last.outputs - first.outputs) / len(TABLE_OF_STAGE))
    capacity = num_model_workers * (max(ended) - min(begun))
    opened = [line["at"] for line in lines if line["what"] == "open" and line["needs"] == "model"]
    return "\n".join(
        [
            "| seconds | shards x stages written | driver's memory, MiB | driver's processor, s |",
            "|---|---|---|---|",
            *(
                f"| {one.seconds:,.0f} | {one.outputs:,} | {one.memory / 2**20:,.0f} | {one.processor:,.1f} |"
                for one in _thinned(samples)
            ),
            "",
            f"driver's processor time: {1000 * (last.processor - first.processor) / num_shards:.2f} ms a shard",
            f"wall clock: {1000 * (last.seconds - first.seconds) / num_shards:.1f} ms a shard, all stages",
            f"last of {num_model_workers} model workers opened {max(opened) - min(opened):.1f} s after the first",
            f"model workers: {served:,.0f} s of service in {capacity:,.0f} s of capacity, {served / capacity:.0%}",
            f"bytes a text: {_bytes_per_text(run)}",
        ]
    )


def _usage(process: int) -> tuple[int, float]:
    """(bytes of resident memory, seconds of processor time) of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return int(fields[21]) * os.sysconf("SC_PAGESIZE"), ticks / os.sysconf("SC_CLK_TCK")


def _num_outputs(run: Path) -> int:
    tables = [run / table for table in TABLE_OF_STAGE.values()]
    return sum(entry.name.startswith("part") for table in tables if table.is_dir() for entry in os.scandir(table))


def _thinned(samples: Sequence[Sample]) -> list[Sample]:
    step = max(1, len(samples) // NUM_ROWS_SHOWN)
    return [*samples[::step], *samples[-1:]]


def _bytes_per_text(run: RunFolder) -> str:
    num_texts = sum(header.num_rows for header in run.headers("documents").by_shard.values())
    sizes = {
        table: sum(info.size for info in run.filesystem.get_file_info(run.paths(table)))
        for table in TABLE_OF_STAGE.values()
    }
    return ", ".join(f"{table} {size / num_texts:,.0f}" for table, size in sizes.items())


def main() -> int:
    """Simulate, watch, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.simulate_cluster")
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--speedup", type=float, default=20.0, help="of the simulated model and tools")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two looks at the driver")
    asked = parser.parse_args()
    num_workers = CPUS_OF_NODE * asked.nodes
    with tempfile.TemporaryDirectory(prefix="simulate-") as folder:
        journal, run = Journal(f"{folder}/journal"), Path(folder) / "run"
        with cluster_of(asked.nodes, CPUS_OF_NODE) as cluster:
            command = [sys.executable, "-m", "tests.simulation.simulate", str(run), "--address", cluster.address]
            command += ["--texts", str(asked.texts), "--shards", str(asked.shards), "--speedup", str(asked.speedup)]
            command += ["--model-workers", str(num_workers), "--tool-workers", "4", "--journal", journal.path]
            with subprocess.Popen(command) as driver:
                samples = watch(driver, run, asked.every)
        print(f"{asked.texts:,} texts, {asked.shards:,} shards, {asked.nodes} nodes, speedup {asked.speedup:g}\n")
        print(report(samples, journal, RunFolder(str(run)), num_workers))
    return driver.returncode


if __name__ == "__main__":
    sys.exit(main())
