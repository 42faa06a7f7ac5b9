"""How many workers a run has, and what each requests from the cluster: one rule, from the options and the nodes.

1. One worker reads the corpus and interleaves, and `tool_workers` run tools. They mostly wait, so they request no CPU.
2. Proposing and scoring share the workers that hold the model, so no GPU waits for the other stage to catch up.
3. On GPUs there is one such worker for every `gpus_per_worker` GPUs of a node, and they share the node's CPUs.
4. On CPUs there is one for every `threads_per_worker` CPUs of a node, by default a quarter of the largest node's.
5. Another model that proposes has workers of its own, half of those that fit; where only one fits, the two share it.
6. When nodes join or leave, so do these workers. With `model_workers` their number is fixed, and an autoscaler can
bring
   the nodes that they need.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from toolformer_ray.records.errors import OptionError
from toolformer_ray.workflow.shard.stage import Needs


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How the work is distributed. None of this changes a row, so a run may be resumed with other values."""

    model_workers: int | None = None
    """Processes that hold the model, for proposing and scoring alike, and that the cluster is asked for; by default as
    many as fit on the nodes that are there, more when nodes join."""
    proposer_workers: int | None = None
    """Processes that hold another proposing model (`proposer`); by default half of those that fit on the nodes."""
    gpus_per_worker: float = 1.0
    """GPUs of each model worker: 0.25 puts four on one GPU; 2 lays a model that is too large for one over two."""
    tool_workers: int = 1
    """Processes that run the tools, each with many calls in flight."""
    threads_per_worker: int | None = None
    """CPU threads of each model worker; by default a quarter of a node's CPUs, on GPUs its share of them at most."""
    max_attempts: int = 3
    """How often a shard is tried at a stage before it is put aside in failed/; not counted if its node was lost."""
    retry_delay: float = 1.0
    """Seconds before a shard is tried again, or a worker that failed to start; doubles with every attempt, up to 60."""
    address: str | None = None
    """The Ray cluster to run on, e.g. ray://head:10001; by default RAY_ADDRESS, else a Ray of its own."""

    def __post_init__(self) -> None:
        for option in ("model_workers", "proposer_workers", "tool_workers", "threads_per_worker", "max_attempts"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise OptionError(option, value, "it must be at least 1")
        if self.retry_delay < 0:
            raise OptionError("retry_delay", self.retry_delay, "it must be at least 0 seconds")
        if self.gpus_per_worker <= 0 or (self.gpus_per_worker > 1 and self.gpus_per_worker % 1):
            allowed = "it must be a part of one GPU, such as 0.25, or a whole number of them"
            raise OptionError("gpus_per_worker", f"{self.gpus_per_worker:g}", allowed)


@dataclass(frozen=True, kw_only=True)
class Node:
    """The resources of a machine of the cluster."""

    num_cpus: int
    num_gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """How many workers of one kind there are, and what each requests from the cluster."""

    num_workers: int
    num_threads: int = 1
    num_cpus: float = 0.0
    num_gpus: float = 0.0


def pool_sizes(
    options: WorkerOptions, nodes: Sequence[Node], *, on_gpu: bool, with_proposer: bool = False
) -> dict[Needs, PoolSize]:
    """The rule for these nodes. There is at least one worker for the model, even if it has to wait for a node."""
    model = _on_gpus(options, nodes) if on_gpu else _on_cpus(options, nodes)
    sizes: dict[Needs, PoolSize] = {
        "cpu": PoolSize(num_workers=1),
        "tools": PoolSize(num_workers=options.tool_workers),
        "model": model,
    }
    return sizes | (_share(options, model) if with_proposer else {})


def _share(options: WorkerOptions, fitting: PoolSize) -> dict[Needs, PoolSize]:
    """The workers that score and those that propose, of as many as fit together."""
    num_proposing = options.proposer_workers or max(1, fitting.num_workers // 2)
    num_scoring = options.model_workers or max(1, fitting.num_workers - num_proposing)
    each = fitting
    if fitting.num_workers == 1 and not options.model_workers and num_proposing == 1:
        each = replace(fitting, num_cpus=fitting.num_cpus / 2, num_gpus=fitting.num_gpus / 2)
    return {
        "model": replace(each, num_workers=num_scoring),
        "proposer": replace(each, num_workers=num_proposing),
    }


def _on_cpus(options: WorkerOptions, nodes: Sequence[Node]) -> PoolSize:
    num_threads = options.threads_per_worker or max(1, max((node.num_cpus for node in nodes), default=1) // 4)
    fitting = sum(node.num_cpus // num_threads for node in nodes)
    num_workers = options.model_workers or max(1, fitting)
    return PoolSize(num_workers=num_workers, num_threads=num_threads, num_cpus=num_threads)


def _on_gpus(options: WorkerOptions, nodes: Sequence[Node]) -> PoolSize:
    workers_of = {node: _num_on_gpus(node, options.gpus_per_worker) for node in nodes}
    # All GPUs can only be used if each worker requests no more CPUs than the node with the fewest has for it.
    share = min((node.num_cpus / workers for node, workers in workers_of.items() if workers), default=1.0)
    most = max((node.num_cpus for node in nodes), default=1) // 4
    num_threads = options.threads_per_worker or max(1, min(int(share), most))
    return PoolSize(
        num_workers=options.model_workers or max(1, sum(workers_of[node] for node in nodes)),
        num_threads=num_threads,
        num_cpus=options.threads_per_worker or min(num_threads, share),
        num_gpus=options.gpus_per_worker,
    )


def _num_on_gpus(node: Node, gpus_per_worker: float) -> int:
    """Workers for which a node has GPUs. A worker with less than a GPU has all of it on one."""
    if gpus_per_worker < 1:
        return node.num_gpus * int(1 / gpus_per_worker)
    return node.num_gpus // int(gpus_per_worker)
