"""What a run folder of many shards costs to open: `python -m tests.simulation.listing --shards 100000`.

One shard is made, and all others are hard links to it: the driver sees as many names, sizes and footers as in a real
run, and nothing else of a shard is read when a folder is opened.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.simulation.recipe import SimulatedRecipe
from tests.simulation.simulate import make_job
from tests.support.plain_run import run_without_ray
from toolformer_ray.records.run_folder import RunFolder, shard_name
from toolformer_ray.workflow.workers import WorkerOptions

MAX_LINKS = 30_000
"""Of one file: ext4 allows 65,000."""
SHARD_SIZE = 10


def make_full_run(folder: Path, num_shards: int, shard_size: int) -> RunFolder:
    """A run folder in which everything is done, all shards alike."""
    recipe = SimulatedRecipe(num_texts=num_shards * shard_size, shard_size=shard_size, speedup=1e9)
    job = make_job(str(folder), recipe, WorkerOptions())
    (first,) = run_without_ray(job, max_shards=1).documents.values()
    for table in sorted({path.parent for path in folder.glob("**/*.parquet")}):
        _multiply(table, num_shards)
    shards = dict.fromkeys(map(shard_name, range(num_shards)), first)
    replace(job.corpus, shards=shards, readings=[[]]).write(job.run)
    return job.run


def _multiply(table: Path, num_shards: int) -> None:
    source = table / f"{shard_name(0)}.parquet"
    for number in range(1, num_shards):
        path = table / f"{shard_name(number)}.parquet"
        if number % MAX_LINKS:
            os.link(source, path)
        else:
            source = Path(shutil.copy2(source, path))


def measure(command: Sequence[str]) -> tuple[float, float, float]:
    """(seconds, seconds of CPU time, MiB at most) of a command. Raises RuntimeError if it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Make the folder, open it in every way, print what it takes."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.listing")
    parser.add_argument("--shards", type=int, default=100_000)
    num_shards = parser.parse_args().shards
    with tempfile.TemporaryDirectory(prefix="listing-") as folder:
        run = make_full_run(Path(folder) / "run", num_shards, SHARD_SIZE)
        size = ["--texts", str(num_shards * SHARD_SIZE), "--shards", str(num_shards)]
        started = time.monotonic()
        names = run.shards("scored")
        print(f"{len(names):,} shards; listing one table takes {time.monotonic() - started:.2f} s\n")
        print("| | seconds | CPU, s | memory at most, MiB |\n|---|---|---|---|")
        commands = {
            "no run, the program alone": ["-m", "tests.simulation.simulate", "--help"],
            "a resume that finds nothing to do": ["-m", "tests.simulation.simulate", run.location, *size],
            "`toolformer status`": ["-m", "toolformer_ray.jobs.cli.main", "status", run.location],
        }
        for name, command in commands.items():
            print("| {} | {:.1f} | {:.1f} | {:,.0f} |".format(name, *measure([sys.executable, *command])), flush=True)


if __name__ == "__main__":
    main()
