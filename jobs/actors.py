"""The Ray side of the workers: what an actor is made of, what it asks of the cluster, and Ray's own start and end."""

import contextlib
import logging
import os
import platform
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from jobs.cluster import NOT_WHERE_ONLY_DRIVERS_ARE, connect
from jobs.pipeline import Needs, Stage
from jobs.stage_work import Expected, IngestWorker, Recipe, ShardReport, StageWorker
from records.run_folder import RunFolder

# The object store carries shard names only; Ray takes a third of the memory unless told otherwise.
OBJECT_STORE_BYTES = 100 * 2**20
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """How the work is spread. None of this changes a row, so a run may be resumed with other values."""

    model_workers: int | None = None
    """Processes that hold the model; by default one per GPU, or on CPUs as many as their threads fill."""
    tool_workers: int = 1
    """Processes that run the tools, each with many calls in flight."""
    threads_per_worker: int | None = None
    """CPU threads of each model worker; by default the CPUs are shared among at most four workers."""
    max_attempts: int = 3
    """How often a shard is tried at a stage before it is put aside in failed/."""
    retry_delay: float = 1.0
    """Seconds before a shard is tried again, or a worker that failed to start; doubles with every attempt, up to 60."""
    address: str | None = None
    """The Ray cluster to run on, e.g. ray://head:10001; by default RAY_ADDRESS, else a Ray of its own."""

    def __post_init__(self) -> None:
        for option in ("model_workers", "tool_workers", "threads_per_worker", "max_attempts"):
            value = getattr(self, option)
            if value is not None and value < 1:
                raise ValueError(f"{option} is {value}; it must be at least 1")
        if self.retry_delay < 0:
            raise ValueError(f"retry_delay is {self.retry_delay}; it must be at least 0 seconds")


@dataclass(frozen=True, kw_only=True)
class PoolSize:
    """How many workers of one kind, and what each asks of the cluster."""

    num_workers: int
    num_threads: int
    num_cpus: float
    num_gpus: float


@ray.remote(max_restarts=0, max_task_retries=0)
class ShardActor:
    """A process that does shards. It is opened by a call of its own, so that a bad option comes back as an error."""

    def __init__(self, run: RunFolder, recipe: Recipe, num_threads: int, folder: str) -> None:
        self._run, self._recipe = run, recipe
        self._corpus: IngestWorker | None = None
        # Relative paths, of the corpus or of an index, are meant from where the command was typed.
        with contextlib.suppress(OSError):
            os.chdir(folder)
        # Before torch is imported: OpenMP reads them once, and oversubscribed it is up to 40 times slower.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(num_threads)), TOKENIZERS_PARALLELISM="false")

    def open(self, needs: Needs) -> int:
        """Load what the stages of this need work with; returns the process id."""
        _refuse_absent(self._run)
        self._worker = StageWorker(self._run, self._recipe, needs)
        return os.getpid()

    def work(
        self, stage: Stage, shard: str, expected: Expected, ask_again: Collection[str], *, only_reuse: bool
    ) -> ShardReport | None:
        """Do one shard at one stage; None if it was only to be reused and something has to be computed."""
        return self._worker.work(stage, shard, expected, ask_again, only_reuse=only_reuse)

    def next_shard(self, stage: Stage, stage_fingerprint: str) -> ShardReport | None:
        """Write the next shard of documents; None after the last. After an error it begins with the first again."""
        if self._corpus is None:
            self._corpus = IngestWorker(self._run, self._recipe, stage, stage_fingerprint)
        corpus, self._corpus = self._corpus, None
        report = corpus.next_shard()
        self._corpus = corpus
        return report


def _refuse_absent(run: RunFolder) -> None:
    """Raise ValueError where the run folder is not, rather than make a second one that nobody else sees."""
    if "://" not in run.location and not Path(run.root).is_dir():
        raise ValueError(
            f"--run {run.shown} does not exist on {platform.node()}; give a path or URI that all machines share, such "
            "as s3://bucket/runs/one"
        )


def start_actor(run: RunFolder, recipe: Recipe, size: PoolSize) -> Any:
    """Ask the cluster for one worker; it may start much later, when there is room."""
    options = ShardActor.options(  # type: ignore[attr-defined]
        num_cpus=size.num_cpus, num_gpus=size.num_gpus, label_selector=NOT_WHERE_ONLY_DRIVERS_ARE
    )
    return options.remote(run, recipe, size.num_threads, str(Path.cwd()))


def pool_sizes(
    options: WorkerOptions, *, on_gpu: bool, node_cpus: Sequence[int], num_gpus: int
) -> dict[Needs, PoolSize]:
    """How many workers of each kind, for nodes with so many CPUs each and so many GPUs together.

    The plain workers read and write files, those of the tools mostly wait: they ask for no CPU of their own, so that
    none ever waits for a slot that the models hold. On GPUs the CPUs are shared among as many workers as GPUs.
    """
    shared = sum(node_cpus) // max(1, num_gpus) if on_gpu else max(node_cpus)
    num_threads = options.threads_per_worker or max(1, min(shared, max(node_cpus) // 4))
    on_cpus = sum(cpus // num_threads for cpus in node_cpus)
    num_models = options.model_workers or max(1, num_gpus if on_gpu else on_cpus)
    return {
        "cpu": PoolSize(num_workers=1, num_threads=1, num_cpus=0, num_gpus=0),
        "tools": PoolSize(num_workers=options.tool_workers, num_threads=1, num_cpus=0, num_gpus=0),
        "model": PoolSize(num_workers=num_models, num_threads=num_threads, num_cpus=num_threads, num_gpus=int(on_gpu)),
    }


@contextlib.contextmanager
def ray_session(options: WorkerOptions, *, on_gpu: bool) -> Iterator[dict[Needs, PoolSize]]:
    """Connect to the cluster that is asked for, else start a Ray of our own; at the end leave all as it was found."""
    if ray.is_initialized():
        yield _sizes_for_cluster(options, on_gpu=on_gpu)
        return
    address = options.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            connect(address, option="--address" if options.address else "RAY_ADDRESS")
            yield _sizes_for_cluster(options, on_gpu=on_gpu)
        else:
            yield _start_own_ray(options, on_gpu=on_gpu)
    finally:
        ray.shutdown()


def _start_own_ray(options: WorkerOptions, *, on_gpu: bool) -> dict[Needs, PoolSize]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    num_cpus = len(os.sched_getaffinity(0))
    num_gpus = _count_gpus() if on_gpu else 0
    if on_gpu and not num_gpus:
        raise ValueError("--device cuda: this machine has no CUDA device; use --device cpu, or --address for a cluster")
    sizes = pool_sizes(options, on_gpu=on_gpu, node_cpus=[num_cpus], num_gpus=num_gpus)
    # A Ray CPU is a slot, not a core: as many as the workers ask for, so that none waits for another to end.
    slots = sum(size.num_workers * size.num_cpus for size in sizes.values())
    ray.init(
        address="local",
        num_cpus=max(num_cpus, int(slots)),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=OBJECT_STORE_BYTES,
    )
    return sizes


def _sizes_for_cluster(options: WorkerOptions, *, on_gpu: bool) -> dict[Needs, PoolSize]:
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    node_cpus = [int(node["CPU"]) for node in resources if node.get("CPU")] or [1]
    num_gpus = sum(int(node.get("GPU", 0)) for node in resources)
    return pool_sizes(options, on_gpu=on_gpu, node_cpus=node_cpus, num_gpus=num_gpus)


def _count_gpus() -> int:
    import torch  # Two seconds, and only needed here.

    return torch.cuda.device_count()
