"""`make chaos SEED=1`: a run that is killed 34 times and has its tools in trouble eight times, against one left alone.

The tables have to be equal row for row, nothing missing and nothing twice, and no shard computed twice but for those
that were in the hands of what was killed. Exit code 1 if not.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from ray.cluster_utils import Cluster

from jobs.check_run import check_run
from jobs.compare_runs import compare_runs
from jobs.simulate_journal import Journal
from tests.chaos.arena import Arena, cluster_of
from tests.chaos.blows import LONG, Kind, plan
from tests.chaos.killer import Killer
from tests.chaos.report import Account, describe, take_account

NUM_STAGES = 5
NUM_NODES = 3
"""Beside the head."""


def options_of(num_shards: int, shard_size: int, seed: int, num_model_workers: int) -> list[str]:
    """Of the simulated run: a shard takes half a second of a model's time, a twentieth where files are read."""
    texts = str(num_shards * shard_size)
    pace = ("--speedup", str(shard_size / 5), "--file-seconds", "0.01")
    workers = ("--model-workers", str(num_model_workers), "--tool-workers", "2", "--retry-delay", "0.1")
    return ["--texts", texts, "--shards", str(num_shards), "--seed", str(seed), *pace, *workers]


def undisturbed(folder: Path, cluster: Cluster, options: Sequence[str]) -> Arena:
    """The same run, left alone. Raises AssertionError if it fails by itself."""
    arena = Arena(folder, cluster, options)
    code = arena.start_driver().wait(600)
    assert code == 0, arena.log.read_text()[-2000:]
    return arena


def disturbed(
    folder: Path, cluster: Cluster, options: Sequence[str], seed: int, numbers: Mapping[Kind, int], num_shards: int
) -> tuple[Killer, Account]:
    """The run with its blows; what had no answer is asked again at the end, as a user would."""
    arena = Arena(folder, cluster, options)
    killer = Killer(arena, plan(seed, numbers, NUM_STAGES * num_shards))
    try:
        killer.run()
        account = take_account(killer)
        code = arena.start_driver("--retry-failed", journal=Journal(str(folder / "journal-of-retries"))).wait(600)
        assert code == 0, arena.log.read_text()[-2000:]
    finally:
        if arena.driver:
            arena.driver.kill()
    return killer, account


def find_differences(one: Path, other: Path) -> list[str]:
    """What is wrong with the second run, or other than in the first."""
    return [*check_run(str(other)).findings, *compare_runs(str(one), str(other)).differences]


def main() -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run_chaos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=200)
    parser.add_argument("--keep", help="a folder to leave the runs in")
    asked = parser.parse_args()
    folder, started = Path(asked.keep or tempfile.mkdtemp(prefix="chaos-")), monotonic()
    options = options_of(asked.shards, 20, asked.seed, num_model_workers=5)
    with cluster_of(NUM_NODES) as cluster:
        alone = undisturbed(folder / "undisturbed", cluster, options)
        seconds_alone = monotonic() - started
        killer, account = disturbed(folder / "chaos", cluster, options, asked.seed, LONG, asked.shards)
    differences = find_differences(alone.run, killer.arena.run)
    print(f"seed {asked.seed}: {seconds_alone:.0f} s left alone, {monotonic() - started:.0f} s in all")
    print(describe(killer, account))
    print("\n".join(differences[:20]) or "the same rows as the undisturbed run; everything is accounted for")
    if not asked.keep:
        shutil.rmtree(folder)
    return 1 if differences or account.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
