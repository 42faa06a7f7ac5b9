"""The actor: a process that does shards, with the model, the tools or nothing loaded."""

import contextlib
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray

from toolformer_ray.jobs.driver.cluster import NOT_WHERE_ONLY_DRIVERS_ARE
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.shard.outputs import Expected, ShardReport
from toolformer_ray.workflow.shard.stage import Needs, Stage
from toolformer_ray.workflow.shard.work import CorpusReader, Recipe, StageWorker
from toolformer_ray.workflow.workers import PoolSize

NEWS = "news"
"""A thread of the actor's own, for questions while it works."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """A shard to do at one stage. The driver makes it, an actor gets it."""

    stage: str
    """Its name: the actor has the pipeline, so that not every call carries the stage's functions."""
    shard: str
    expected: Expected
    ask_again: Collection[str] = ()
    """Statuses of calls that are asked again, although their shard is done."""
    only_reuse: bool = False
    """Whether nothing may be computed: an output for other settings may hold all that is needed."""
    may_be_done: bool = False
    """Whether an earlier worker may have written the output and died before it said so."""
    broken: Mapping[int, str] = field(default_factory=dict)
    """Rows of the first input that are left out, by number, with the errors that they are dropped with."""


@dataclass(frozen=True, kw_only=True)
class RowTrial:
    """Some rows of a shard that failed, to see whether they break the stage; nothing is written."""

    task: ShardTask
    rows: Sequence[int]
    """Numbers of rows of the first input; with none the shard is only read."""


class ShardActor:
    """Does one shard a call. It is opened by a call of its own, so that a bad option comes back as an error."""

    def __init__(
        self, run: RunFolder, recipe: Recipe, pipeline: Sequence[Stage], num_threads: int, folder: str
    ) -> None:
        self._run, self._recipe = run, recipe
        self._stages = {stage.name: stage for stage in pipeline}
        self._corpus: CorpusReader | None = None
        # Relative paths, of the corpus or of an index, are relative to where the command was typed.
        with contextlib.suppress(OSError):
            os.chdir(folder)
        # Before torch is imported: OpenMP reads them once, and oversubscribed it is up to 40 times slower.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(num_threads)), TOKENIZERS_PARALLELISM="false")

    def open(self, needs: Needs) -> str:
        """Load what the stages with these needs work with; returns the id of the node."""
        _refuse_absent(self._run)
        self._worker = StageWorker(self._run, self._recipe, needs)
        return str(ray.get_runtime_context().get_node_id())

    def work(self, task: ShardTask) -> ShardReport | None:
        """Do a shard at a stage; None if it was only to be reused and something has to be computed."""
        order = (self._stages[task.stage], task.shard, task.expected, task.ask_again)
        if task.may_be_done and (report := self._worker.find(*order)):
            return report
        return self._worker.work(*order, only_reuse=task.only_reuse, broken=task.broken)

    def try_rows(self, trial: RowTrial) -> int:
        """See whether some rows of a shard break a stage. Returns how many rows there are in all."""
        task = trial.task
        stage = self._stages[task.stage]
        return self._worker.try_rows(stage, task.shard, task.expected, task.ask_again, trial.rows)

    @ray.method(concurrency_group=NEWS)
    def news(self) -> Mapping[str, int]:
        """What was answered of the shard in hand; asked while `work` is at it, once the worker is open."""
        return self._worker.news()

    def next_shard(self, stage: str, stage_fingerprint: str) -> ShardReport | None:
        """Write the next shard of documents; None after the last. After an error it begins with the first again."""
        corpus = self._corpus or self._worker.read_corpus(self._stages[stage], stage_fingerprint)
        self._corpus = None
        report = corpus.next_shard()
        self._corpus = corpus
        return report


# Ray's types do not know groups of methods.
RemoteShardActor = ray.remote(  # type: ignore[call-overload]
    max_restarts=0, max_task_retries=0, concurrency_groups={NEWS: 1}
)(ShardActor)


def _refuse_absent(run: RunFolder) -> None:
    """Raise OptionError if the run folder is not there, rather than make a second one that nobody else sees."""
    if "://" not in run.location and not Path(run.root).is_dir():
        remedy = "give a path or URI that all machines share, such as s3://bucket/runs/one"
        raise OptionError("run", run.shown, f"it does not exist on {platform.node()}; {remedy}")


def start_actor(run: RunFolder, recipe: Recipe, pipeline: Sequence[Stage], size: PoolSize) -> Any:
    """Ask the cluster for one worker; it may start much later, when there is room."""
    options = RemoteShardActor.options(
        num_cpus=size.num_cpus, num_gpus=size.num_gpus, label_selector=NOT_WHERE_ONLY_DRIVERS_ARE
    )
    return options.remote(run, recipe, pipeline, size.num_threads, str(Path.cwd()))
