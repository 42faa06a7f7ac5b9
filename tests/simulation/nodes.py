"""A cluster of several nodes on one machine, of Ray's own for tests: each node has its raylet and its agents."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ray.cluster_utils import Cluster

# So that a dead node is missed within seconds; a live one on a busy machine has as long as ever to answer.
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}
OBJECT_STORE_BYTES = 100 * 2**20
TRIES_TO_ADD_A_NODE = 4
AGENT_PORTS = (
    *("metrics_agent_port", "metrics_export_port"),
    *("runtime_env_agent_port", "dashboard_agent_listen_port"),
)
"""Ports of a node that Ray would wait for, 15 seconds each, until its agent has chosen them."""


@contextmanager
def cluster_of(num_nodes: int, cpus_each: int) -> Iterator[Cluster]:
    """So many nodes with so many slots; the first is the head. All processes are ended with the block."""
    # Ray's workers yield to everything else on the machine unless told otherwise.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so it is spelled
    cluster = Cluster()
    try:
        add_node(cluster, cpus_each, include_dashboard=False, _system_config=HEALTH_CHECKS)
        for _ in range(num_nodes - 1):
            add_node(cluster, cpus_each)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Cluster, num_cpus: int, **options: Any) -> None:
    """Have one more node. On a busy machine one may not come up in Ray's half a minute: then another is tried."""
    for attempt in range(1, TRIES_TO_ADD_A_NODE + 1):
        try:
            cluster.add_node(num_cpus=num_cpus, object_store_memory=OBJECT_STORE_BYTES, **_free_ports(), **options)
        except Exception as error:
            if attempt == TRIES_TO_ADD_A_NODE or "timed out" not in str(error):
                raise
        else:
            return


def _free_ports() -> dict[str, Any]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in AGENT_PORTS]
        return {name: server.getsockname()[1] for name, server in zip(AGENT_PORTS, sockets, strict=True)}
