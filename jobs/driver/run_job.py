"""One run from the run folder as it is found to its end: what is there, what is missing, Ray, progress, the last word.

Knows nothing of models and tools: a `Job` brings the recipe, so the same code runs with stages that do nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from toolformer_ray.jobs.driver.cluster import CountPools, ray_session
from toolformer_ray.jobs.driver.failures import blaming_cluster
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.loop import Driver, Stopped
from toolformer_ray.jobs.driver.reporting import Reporter
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.lease import LEASE_FILE
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.book.resume import admit_documents, end_ingest, forget_old_failures, open_ledger
from toolformer_ray.workflow.corpus import CorpusState, settle_corpus
from toolformer_ray.workflow.log import ProgressOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.progress import PROGRESS_FILE, Snapshot, seconds_worked_before, take_snapshot
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.shard.outputs import discard_damaged
from toolformer_ray.workflow.shard.stage import Stage
from toolformer_ray.workflow.shard.work import Recipe
from toolformer_ray.workflow.workers import WorkerOptions


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run needs to know."""

    run: RunFolder
    recipe: Recipe
    """Opens the model and the tools for the functions of the stages."""
    pipeline: Sequence[Stage] = PIPELINE
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
    taken_by: Callable[[], object] = lambda: None
    """Tells who has taken over the run folder, if anybody has: the run ends then."""
    may_corpus_change: bool = False
    """Whether the corpus is read anew if files have other sizes."""
    may_forget_files: bool = False
    """Whether the corpus is read anew if files are gone."""
    worked_before: float = 0.0
    """Seconds that earlier drivers have worked at the run."""
    ask_again: Collection[str] = ()
    """Statuses of calls that are asked again, although their shards are done."""

    @property
    def has_proposer(self) -> bool:
        """Whether a stage needs workers with another model that proposes."""
        return any(stage.needs == "proposer" for stage in self.pipeline)


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
        corpus = settle_corpus(job.run, job.corpus, may_change=job.may_corpus_change, may_forget=job.may_forget_files)
        discard_damaged(job.run, job.pipeline)
        ledger = open_ledger(
            job.run,
            job.pipeline,
            job.stage_fingerprints,
            tool_fingerprints=job.tool_fingerprints,
            ask_again=job.ask_again,
        )
        is_read = admit_documents(ledger, corpus.shards)
    job = replace(job, corpus=corpus, worked_before=seconds_worked_before(job.run))
    started = time.monotonic()
    state = "failed"
    try:
        if not is_read or ledger.num_open:
            # Until the first report, whoever watches would take the last word of the run before for this one's.
            _write_progress(job, ledger, "starting", 0.0)
            with blaming_cluster(job.workers.address), contextlib.ExitStack() as stack:
                with interrupts.deferred():
                    session = ray_session(job.workers, on_gpu=job.on_gpu, with_proposer=job.has_proposer)
                    count_pools = stack.enter_context(session)
                asyncio.run(_drive(job, ledger, count_pools, interrupts, is_read=is_read))
        with blaming_run_folder(job.run):
            forget_old_failures(job.run, ledger)
        state = "failed" if ledger.num_failed else "finished"
    except Stopped:
        state = "stopped"
        with contextlib.suppress(OSError):  # The next start would remove them as well.
            job.run.remove_leftovers(but_of=LEASE_FILE)
    finally:
        last = _write_progress(job, ledger, state, time.monotonic() - started)
    return Outcome(ledger=ledger, last=last)


def _write_progress(job: Job, ledger: Ledger, state: str, seconds: float) -> Snapshot:
    worked = job.worked_before + seconds
    told = take_snapshot(
        ledger, state=state, seconds=seconds, tools=job.tool_names, is_ingesting=False, seconds_worked=worked
    )
    with contextlib.suppress(OSError):
        job.run.write_json(PROGRESS_FILE, asdict(told))
    return told


async def _drive(job: Job, ledger: Ledger, count_pools: CountPools, interrupts: Interrupts, *, is_read: bool) -> None:
    def on_ingested() -> None:
        end_ingest(job.run, ledger, job.corpus)

    driver = Driver(job.run, job.recipe, ledger, job.pipeline, job.workers, count_pools, on_ingested)
    loop = asyncio.get_running_loop()
    interrupts.call(lambda: loop.call_soon_threadsafe(driver.stop))
    reporter = Reporter(job.run, ledger, driver, job.progress, job.tool_names, job.taken_by, job.worked_before)
    reporting = asyncio.create_task(reporter.report())
    try:
        await driver.drive(is_ingesting=not is_read)
    finally:
        # What is left is the end of Ray, which is not to be cut short.
        interrupts.call(lambda: None)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
