"""`make chaos SEED=1`: a run that is killed 34 times and has its tools in trouble eight times, against one left alone.

The tables have to be equal row for row, nothing missing and nothing twice, and no shard computed twice but for those
that were in the hands of what was killed. Exit code 1 if not.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from ray.cluster_utils import Cluster

from tests.chaos.arena import CPUS_OF_NODE, Arena
from tests.chaos.blows import LONG, SHORT, Kind, plan
from tests.chaos.killer import Killer
from tests.chaos.report import Account, describe, take_account
from tests.simulation.journal import Journal
from tests.simulation.nodes import cluster_of
from toolformer_ray.workflow.verify.check import check_run
from toolformer_ray.workflow.verify.compare import compare_runs

NUM_STAGES = 5


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a run is made, and what is done to it."""

    num_shards: int
    shard_size: int
    num_nodes: int
    """Beside the head."""
    num_model_workers: int
    blows: Mapping[Kind, int]


SIZES = {
    "long": Size(num_shards=200, shard_size=20, num_nodes=3, num_model_workers=5, blows=LONG),
    "short": Size(num_shards=10, shard_size=5, num_nodes=1, num_model_workers=2, blows=SHORT),
}


def options_of(size: Size, seed: int) -> list[str]:
    """Of the simulated run: a shard takes half a second of a model's time, a twentieth where files are read."""
    corpus = {"texts": size.num_shards * size.shard_size, "shards": size.num_shards, "seed": seed}
    pace = {"speedup": size.shard_size / 5, "file-seconds": 0.01}
    workers = {"model-workers": size.num_model_workers, "tool-workers": 2, "retry-delay": 0.1}
    return [word for name, value in (corpus | pace | workers).items() for word in (f"--{name}", str(value))]


def undisturbed(folder: Path, cluster: Cluster, options: Sequence[str]) -> Arena:
    """The same run, left alone. Raises AssertionError if it fails by itself."""
    arena = Arena(folder, cluster, options)
    code = arena.start_driver().wait(600)
    assert code == 0, arena.log.read_text()[-2000:]
    return arena


def disturbed(folder: Path, cluster: Cluster, options: Sequence[str], seed: int, size: Size) -> tuple[Killer, Account]:
    """The run with its blows; what had no answer is asked again at the end, as a user would."""
    arena = Arena(folder, cluster, options)
    killer = Killer(arena, plan(seed, size.blows, NUM_STAGES * size.num_shards))
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
    asked = _parse()
    folder, started = Path(asked.keep or tempfile.mkdtemp(prefix="chaos-")), monotonic()
    size = SIZES["short" if asked.short else "long"]
    options = options_of(size, asked.seed)
    with cluster_of(1 + size.num_nodes, CPUS_OF_NODE) as cluster:
        alone = undisturbed(folder / "undisturbed", cluster, options)
        seconds_alone = monotonic() - started
        killer, account = disturbed(folder / "chaos", cluster, options, asked.seed, size)
    differences = find_differences(alone.run, killer.arena.run)
    print(f"seed {asked.seed}: {seconds_alone:.0f} s for the run left alone, {monotonic() - started:.0f} s in all")
    print(describe(killer, account))
    print("\n".join(differences[:20]) or "the same rows as the undisturbed run; everything is accounted for")
    if not asked.keep:
        shutil.rmtree(folder)
    return 1 if differences or account.unexplained else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run_chaos")
    parser.add_argument("--seed", type=int, default=1, help="of the blows, and of the rows")
    parser.add_argument("--short", action="store_true", help="six kills on a small run")
    parser.add_argument("--keep", help="a new folder in which the runs, the journal and the driver's log stay")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
