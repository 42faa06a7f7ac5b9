"""The Ray side of the workers: what an actor is made of, what it asks of the cluster, and Ray's own start and end."""

import contextlib
import functools
import logging
import os
import platform
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray

from toolformer_ray.jobs.driver.cluster import NOT_WHERE_ONLY_DRIVERS_ARE, connect, is_for_workers
from toolformer_ray.records.errors import first_line
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.pipeline import Needs, Stage
from toolformer_ray.workflow.shard.work import Expected, IngestWorker, Recipe, ShardReport, StageWorker
from toolformer_ray.workflow.workers import Node, PoolSize, WorkerOptions, pool_sizes

# The object store carries shard names only; Ray takes a third of the memory unless told otherwise.
OBJECT_STORE_BYTES = 100 * 2**20
# A call costs Ray some 2 ms of CPU: of quick shards a worker does several before it answers.
SECONDS_PER_CALL = 0.1
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


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

    def open(self, needs: Needs) -> str:
        """Load what the stages of this need work with; returns the id of the node."""
        _refuse_absent(self._run)
        self._worker = StageWorker(self._run, self._recipe, needs)
        return str(ray.get_runtime_context().get_node_id())

    def work(
        self,
        stage: Stage,
        orders: Sequence[tuple[str, Expected]],
        ask_again: Collection[str],
        *,
        only_reuse: bool,
        is_suspect: bool,
    ) -> list[ShardReport | None]:
        """Do shards at one stage, in order, until SECONDS_PER_CALL are over; the report is None where nothing was done
        because the shard was only to be reused and something has to be computed.

        An error ends it too, and is raised only if the first shard met it: a shard that comes first is alone to blame.
        With `is_suspect` a worker may have done it already and died before it said so.
        """
        reports: list[ShardReport | None] = []
        ends = time.monotonic() + SECONDS_PER_CALL
        for shard, expected in orders:
            if is_suspect and (report := self._worker.find(stage, shard, expected, ask_again)):
                reports.append(report)
                continue
            try:
                reports.append(self._worker.work(stage, shard, expected, ask_again, only_reuse=only_reuse))
            except Exception:
                if not reports:
                    raise
                break
            if time.monotonic() > ends:
                break
        return reports

    def try_rows(
        self, stage: Stage, shard: str, expected: Expected, ask_again: Collection[str], rows: Sequence[int]
    ) -> int:
        """See whether some rows of a shard break a stage; nothing is written. Returns how many rows there are."""
        return self._worker.try_rows(stage, shard, expected, ask_again, rows)

    def work_without(
        self, stage: Stage, shard: str, expected: Expected, ask_again: Collection[str], broken: Mapping[int, str]
    ) -> ShardReport | None:
        """Do one shard at one stage without the rows that break it, which are dropped with their errors."""
        return self._worker.work(stage, shard, expected, ask_again, broken=broken)

    def next_shards(self, stage: Stage, stage_fingerprint: str) -> tuple[list[ShardReport], bool]:
        """Write shards of documents until SECONDS_PER_CALL are over, and say whether there may be more.

        After an error it begins with the first again.
        """
        if self._corpus is None:
            self._corpus = IngestWorker(self._run, self._recipe, stage, stage_fingerprint)
        corpus, self._corpus = self._corpus, None
        reports: list[ShardReport] = []
        ends = time.monotonic() + SECONDS_PER_CALL
        while time.monotonic() < ends:
            report = corpus.next_shard()
            if report is None:
                return reports, False
            reports.append(report)
        self._corpus = corpus
        return reports, True


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


CountPools = Callable[[], Mapping[Needs, PoolSize]]
"""Asks how large the pools are to be by now."""


@contextlib.contextmanager
def ray_session(options: WorkerOptions, *, on_gpu: bool) -> Iterator[CountPools]:
    """Connect to the cluster that is asked for, else start a Ray of our own; at the end leave all as it was found."""
    count_pools = functools.partial(_sizes_for_cluster, options, on_gpu=on_gpu)
    if ray.is_initialized():
        yield count_pools
        return
    address = options.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            connect(address, option="--address" if options.address else "RAY_ADDRESS")
            yield count_pools
        else:
            sizes = _start_own_ray(options, on_gpu=on_gpu)
            yield lambda: sizes
    finally:
        ray.shutdown()


def is_node_alive(node_id: str) -> bool:
    """Whether the cluster knows that node and has not noticed its end."""
    return any(node["Alive"] and node["NodeID"] == node_id for node in ray.nodes())


def _start_own_ray(options: WorkerOptions, *, on_gpu: bool) -> dict[Needs, PoolSize]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    num_cpus = len(os.sched_getaffinity(0))
    num_gpus = _count_gpus() if on_gpu else 0
    if on_gpu and not num_gpus:
        raise ValueError("--device cuda: this machine has no CUDA device; use --device cpu, or --address for a cluster")
    if on_gpu and num_gpus < options.gpus_per_worker:
        raise ValueError(
            f"--gpus-per-worker {options.gpus_per_worker:g}: this machine has {num_gpus} CUDA devices; ask for fewer, "
            "or use --address for a cluster"
        )
    sizes = pool_sizes(options, [Node(num_cpus=num_cpus, num_gpus=num_gpus)], on_gpu=on_gpu)
    # A Ray CPU is a slot, not a core: as many as the workers ask for, so that none waits for another to end.
    slots = sum(size.num_workers * size.num_cpus for size in sizes.values())
    try:
        ray.init(
            address="local",
            num_cpus=max(num_cpus, int(slots)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
        )
    except Exception as error:  # Ray's own are bare ones.
        raise ValueError(
            f"Ray cannot be started on this machine ({first_line(error)}); is it very busy, or its temporary folder "
            "full? Try again, or give the --address of a Ray that is running"
        ) from error
    return sizes


def _sizes_for_cluster(options: WorkerOptions, *, on_gpu: bool) -> dict[Needs, PoolSize]:
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"] and is_for_workers(node["Labels"])]
    nodes = [Node(num_cpus=int(node.get("CPU", 0)), num_gpus=int(node.get("GPU", 0))) for node in resources]
    return pool_sizes(options, nodes, on_gpu=on_gpu)


def _count_gpus() -> int:
    import torch  # Two seconds, and only needed here.

    return torch.cuda.device_count()
