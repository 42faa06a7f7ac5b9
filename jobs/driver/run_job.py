"""One run from the run folder as it is found to its end: what is there, what is missing, Ray, progress, the last word.

Knows nothing of models and tools: a `Job` brings the recipe, so the same code runs with stages that do nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from toolformer_ray.jobs.driver.actors import CountPools, ray_session
from toolformer_ray.jobs.driver.failures import blaming_cluster
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.loop import Driver, Stopped
from toolformer_ray.jobs.driver.metrics import start_metrics
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.lease import Holder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.corpus import CorpusState, settle_corpus
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.progress import (
    PROGRESS_FILE,
    SECONDS_BETWEEN_REDRAWS,
    SECONDS_BETWEEN_SAVES,
    ProgressLine,
    ProgressOptions,
    Snapshot,
    take_snapshot,
)
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.shard.outputs import discard_damaged, find_outputs
from toolformer_ray.workflow.shard.work import Recipe
from toolformer_ray.workflow.workers import WorkerOptions

SECONDS_OF_PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run needs to know."""

    run: RunFolder
    recipe: Recipe
    stage_fingerprints: Mapping[str, str]
    """Per stage, of the settings that decide its rows."""
    corpus: CorpusState
    workers: WorkerOptions
    progress: ProgressOptions
    tool_names: Sequence[str]
    """Whose yield is reported."""
    on_gpu: bool = False
    tool_fingerprints: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Per stage and name of a tool, of the settings that decide what can be reused of the tool's rows."""
    holder: Holder | None = None
    """Of the run folder's lease; the run ends if it is lost."""
    may_corpus_change: bool = False
    """Whether the corpus is read anew if files have other sizes."""
    may_forget_files: bool = False
    """Whether the corpus is read anew if files are gone."""
    ask_again: Collection[str] = ()
    """Statuses of calls that are asked again, although their shards are done."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    ledger: Ledger
    last: Snapshot
    """Its `state` is `finished`, `failed` (some shards were given up) or `stopped`."""


def run_job(job: Job, interrupts: Interrupts) -> Outcome:
    """Do what is missing in the run folder, which must be locked and its settings checked.

    Raises ValueError for what the user has to change; what is finished by then is kept.
    """
    with blaming_run_folder(job.run):
        job = replace(job, corpus=_settled_corpus(job))
        discard_damaged(job.run)
        ledger = _open_ledger(job)
        is_read = _admit_documents(job, ledger)
    started = time.monotonic()
    state = "failed"
    try:
        if not is_read or ledger.num_open:
            with blaming_cluster(job.workers.address), contextlib.ExitStack() as stack:
                with interrupts.deferred():
                    count_pools = stack.enter_context(ray_session(job.workers, on_gpu=job.on_gpu))
                asyncio.run(_drive(job, ledger, count_pools, interrupts, is_read=is_read))
        with blaming_run_folder(job.run):
            _forget_old_failures(job.run, ledger)
        state = "failed" if ledger.num_failed else "finished"
    except Stopped:
        state = "stopped"
    finally:
        seconds = time.monotonic() - started
        last = take_snapshot(ledger, state=state, seconds=seconds, tools=job.tool_names, is_ingesting=False)
        with contextlib.suppress(OSError):
            job.run.write_json(PROGRESS_FILE, asdict(last))
    return Outcome(ledger=ledger, last=last)


def _settled_corpus(job: Job) -> CorpusState:
    return settle_corpus(job.run, job.corpus, may_change=job.may_corpus_change, may_forget=job.may_forget_files)


def _open_ledger(job: Job) -> Ledger:
    outputs = {stage.writes: find_outputs(job.run, stage) for stage in PIPELINE}
    for found in outputs.values():
        for path in found.damaged:
            warn("damaged_shard", f"{path} is damaged or not a shard of this program; it is made again", path=path)
    return Ledger(
        PIPELINE,
        job.stage_fingerprints,
        {table: found.by_shard for table, found in outputs.items()},
        tool_fingerprints=job.tool_fingerprints,
        ask_again=job.ask_again,
    )


def _admit_documents(job: Job, ledger: Ledger) -> bool:
    """Enter the shards of a corpus that was read to its end; False if it has to be read (again)."""
    shards = job.corpus.shards
    headers = ledger.headers["documents"]
    if not shards or any(name not in headers or headers[name].fingerprint != shards[name] for name in shards):
        return False
    for name in shards:
        ledger.admit(name, headers[name])
    return True


async def _drive(job: Job, ledger: Ledger, count_pools: CountPools, interrupts: Interrupts, *, is_read: bool) -> None:
    driver = Driver(job.run, job.recipe, ledger, PIPELINE, job.workers, count_pools, lambda: _end_ingest(job, ledger))
    loop = asyncio.get_running_loop()
    interrupts.call(lambda: loop.call_soon_threadsafe(driver.stop))
    reporter = asyncio.create_task(_report(job, ledger, driver))
    try:
        await driver.drive(is_ingesting=not is_read)
    finally:
        # What is left is the end of Ray, which is not to be cut short.
        interrupts.call(lambda: None)
        reporter.cancel()
        await asyncio.gather(reporter, return_exceptions=True)


def _end_ingest(job: Job, ledger: Ledger) -> None:
    """The corpus was read to its end: remove what an earlier reading left beyond it, and note that it was."""
    if ledger.num_texts == 0:
        drops = {name: number for name, number in ledger.counts["ingest"].items() if name.startswith("dropped.")}
        reasons = ", ".join(f"{name.removeprefix('dropped.')} {number:,}" for name, number in drops.items())
        raise UnusableError(f"the corpus holds no usable text ({reasons or 'no rows'}); give another --corpus")
    admitted = set(ledger.shards)
    with blaming_run_folder(job.run):
        for stage in PIPELINE:
            folders = {stage.writes: ".parquet", f"dropped/{stage.name}": ".parquet", f"failed/{stage.name}": ".json"}
            for folder, suffix in folders.items():
                for shard in set(job.run.shards(folder, suffix)) - admitted:
                    job.run.delete(f"{folder}/{shard}{suffix}")
        replace(job.corpus, shards=ledger.documents).write(job.run)


def _forget_old_failures(run: RunFolder, ledger: Ledger) -> None:
    """At the end of a run: what is not among its own failures is done, or no shard any more."""
    for stage, failed in ledger.failed.items():
        for shard in set(run.shards(f"failed/{stage}", ".json")) - failed:
            run.delete(f"failed/{stage}/{shard}.json")


async def _report(job: Job, ledger: Ledger, driver: Driver) -> None:
    line, record = ProgressLine(job.progress), start_metrics(job.run.shown)
    started = time.monotonic()
    working_since, next_save, is_told = started, started, False

    def look(now: float) -> Snapshot:
        return take_snapshot(
            ledger,
            state="running",
            seconds=now - working_since,
            tools=job.tool_names,
            in_flight=driver.in_flight,
            opening=driver.awaited,
            is_ingesting=driver.is_ingesting,
        )

    try:
        while True:
            now = time.monotonic()
            if not ledger.num_new_texts and (not ledger.num_texts or driver.awaited):
                # Loading a model says nothing about how long the texts will take.
                working_since = now
            snapshot = look(now)
            line.show(snapshot)
            if job.holder and job.holder.taken_by:
                driver.stop(UnusableError(f"another driver ({job.holder.taken_by}) has taken over {job.run.shown}"))
            if now >= next_save:
                next_save = now + SECONDS_BETWEEN_SAVES
                await asyncio.to_thread(_publish, job, snapshot, record)
            if not is_told and now - started > SECONDS_OF_PATIENCE:
                is_told = True
                _tell_what_is_missing(driver)
            await asyncio.sleep(min(SECONDS_BETWEEN_REDRAWS, job.progress.log_every))
    finally:
        line.close()
        # Not in a thread: whoever cancels this waits for it, and Ray is there as long.
        record(look(time.monotonic()))


def _publish(job: Job, snapshot: Snapshot, record: Callable[[Snapshot], object]) -> None:
    # Whoever writes shards finds out whether the disk is full; this is only a report.
    with contextlib.suppress(OSError):
        job.run.write_json(PROGRESS_FILE, asdict(snapshot))
    record(snapshot)


def _tell_what_is_missing(driver: Driver) -> None:
    for needs in driver.awaited:
        size = driver.pools[needs].size
        warn(
            "waiting_for_workers",
            f"still waiting for the first {needs} worker, which asks the cluster for {size.num_cpus:g} CPUs and "
            f"{size.num_gpus:g} GPUs",
            needs=needs,
        )
