"""Ray's start and end: connect to a cluster that somebody else has started, or start a Ray of our own.

An address that cannot be reached is told in one line, at once. Workers go to every node but those with the label
`toolformer-role=driver`: workers that ask for no CPU (those of the tools) would else sit on a head that has none.
"""

import contextlib
import functools
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

import ray

from toolformer_ray.records.errors import OptionError, UnusableError, first_line
from toolformer_ray.workflow.log import say
from toolformer_ray.workflow.shard.stage import Needs
from toolformer_ray.workflow.workers import Node, PoolSize, WorkerOptions, pool_sizes

# The object store carries shard names only; Ray takes a third of the memory unless told otherwise.
OBJECT_STORE_BYTES = 100 * 2**20
SECONDS_TO_CONNECT = 10.0
SECONDS_TO_ANSWER = 2.0
NOT_WHERE_ONLY_DRIVERS_ARE = {"toolformer-role": "!driver"}
"""Nodes for workers: all but those with the label `toolformer-role=driver`, as the head that cluster.yaml describes."""

_HOST_AND_PORT = re.compile(r"(ray://)?(?P<host>[^:/]+):(?P<port>\d+)/?")
_WEB = re.compile(r"https?://")

CountPools = Callable[[], Mapping[Needs, PoolSize]]
"""Tells how large the pools of workers are to be by now."""
SizePools = Callable[[Sequence[Node]], Mapping[Needs, PoolSize]]
"""How large the pools are on these nodes."""


@contextlib.contextmanager
def ray_session(options: WorkerOptions, *, on_gpu: bool, with_proposer: bool = False) -> Iterator[CountPools]:
    """Connect to the cluster that is asked for, else start a Ray of our own; at the end leave all as it was found.

    Raises ValueError, one line, if neither can be had.
    """
    size_pools = functools.partial(pool_sizes, options, on_gpu=on_gpu, with_proposer=with_proposer)
    count_pools = functools.partial(_sizes_for_cluster, size_pools)
    if ray.is_initialized():
        yield count_pools
        return
    address = options.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            connect(address, option="address" if options.address else "RAY_ADDRESS")
            yield count_pools
        else:
            sizes = _start_own_ray(options, size_pools, on_gpu=on_gpu)
            yield lambda: sizes
    finally:
        ray.shutdown()


def connect(address: str, *, option: str) -> None:
    """Connect to the cluster at an address. Raises OptionError of the `option` that gave it."""
    try:
        if _WEB.match(address) or _is_web_server(address):
            raise ValueError("that is a page for browsers, such as the dashboard")
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise OptionError(
            option,
            address,
            f"it cannot be reached ({first_line(error)}); give the HOST:6379 of a Ray that is running, or "
            "ray://HOST:10001, set RAY_AUTH_TOKEN if it asks for a token, or leave it out",
        ) from error


def is_node_alive(node_id: str) -> bool:
    """Whether the cluster knows that node and has not noticed its end."""
    return any(node["Alive"] and node["NodeID"] == node_id for node in ray.nodes())


def is_for_workers(labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels takes workers."""
    return not any(labels.get(key) == value.removeprefix("!") for key, value in NOT_WHERE_ONLY_DRIVERS_ARE.items())


def _is_web_server(address: str) -> bool:
    """Whether HTTP/1 is spoken there, as the dashboard does and Ray's own ports do not. Raises OSError if nobody is.

    Ray itself would try for minutes and not react to Ctrl-C.
    """
    match = _HOST_AND_PORT.fullmatch(address)
    if not match:
        return False
    with socket.create_connection((match["host"], int(match["port"])), timeout=SECONDS_TO_CONNECT) as connection:
        connection.settimeout(SECONDS_TO_ANSWER)
        try:
            connection.sendall(b"GET /api/version HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
        except OSError:
            return False  # Whatever listens there, it is no web server.


def _start_own_ray(options: WorkerOptions, size_pools: SizePools, *, on_gpu: bool) -> Mapping[Needs, PoolSize]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    num_cpus = len(os.sched_getaffinity(0))
    num_gpus = _count_gpus() if on_gpu else 0
    if on_gpu and not num_gpus:
        raise OptionError("device", "cuda", "this machine has no CUDA device; use cpu, or `address` for a cluster")
    if on_gpu and num_gpus < options.gpus_per_worker:
        remedy = f"this machine has {num_gpus} CUDA devices; ask for fewer, or use `address` for a cluster"
        raise OptionError("gpus_per_worker", f"{options.gpus_per_worker:g}", remedy)
    sizes = size_pools([Node(num_cpus=num_cpus, num_gpus=num_gpus)])
    # A Ray CPU is a slot, not a core: as many as the workers ask for, so that none waits for another to end.
    slots = sum(size.num_workers * size.num_cpus for size in sizes.values())
    say("starting_ray", "starting Ray on this machine, which takes some seconds", slots=slots)
    try:
        ray.init(
            address="local",
            num_cpus=max(num_cpus, int(slots)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    except Exception as error:  # Ray raises bare exceptions here.
        raise UnusableError(
            f"Ray cannot be started on this machine ({first_line(error)}); is it very busy, or its temporary folder "
            "full? Try again, or give the `address` of a Ray that is running"
        ) from error
    return sizes


def _sizes_for_cluster(size_pools: SizePools) -> Mapping[Needs, PoolSize]:
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"] and is_for_workers(node["Labels"])]
    nodes = [Node(num_cpus=int(node.get("CPU", 0)), num_gpus=int(node.get("GPU", 0))) for node in resources]
    return size_pools(nodes)


def _count_gpus() -> int:
    import torch  # Two seconds, and only needed here.

    return torch.cuda.device_count()
