"""Nodes that join and leave a cluster while a run goes on, each a real Ray node on this machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.support.gate import Gate
from tests.support.plain_run import run_without_ray
from tests.support.small_jobs import SmallRecipe, make_job, read_rows

SMALL = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    # A node that does not answer is given up after two and a half seconds instead of fifteen.
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "_system_config": quick})
    yield cluster
    cluster.shutdown()


def test_a_node_that_joins_is_used_and_one_that_is_lost_costs_only_the_shard_in_hand_there(
    cluster: Cluster, tmp_path: Path
) -> None:
    run, gates = tmp_path / "run", tmp_path / "gates"
    gates.mkdir()
    first, second = (Gate(str(gates / name)).build() for name in ("0", "1"))
    command = [sys.executable, "-m", "tests.support.node_jobs", str(run), str(gates), cluster.address]
    with subprocess.Popen(command) as driver:
        try:
            first.wait_for_worker()
            node = cluster.add_node(**SMALL)
            worker = second.wait_for_worker()
            # All of a machine is gone at once; its Ray first, or that would still report how its worker ended.
            os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)
            os.kill(worker, signal.SIGKILL)
            first.let_through()
            assert driver.wait(timeout=120) == 0
        finally:
            driver.kill()
    run_without_ray(make_job(tmp_path / "undisturbed", SmallRecipe()))
    assert read_rows(run) == read_rows(tmp_path / "undisturbed")
    # One shard was tried twice, and it was not its fault: one failure would have been enough to give it up.
    assert json.loads((run / "progress.json").read_text())["tried_again"] == {"propose": 1}
