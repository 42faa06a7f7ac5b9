"""`toolformer annotate`: a corpus goes in, C* comes out. Running it again on the same folder resumes.

All that can be found wrong without a worker is found before Ray starts, in one line that says what to change.
"""

import contextlib
from dataclasses import replace

from toolformer_ray.annotate.ingest import check_corpus
from toolformer_ray.jobs.driver.interrupts import Interrupted, Interrupts
from toolformer_ray.jobs.driver.run_job import Job, Outcome, run_job
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.tools.asking.answer_store import open_store
from toolformer_ray.workflow.book.lease import LEASE_FILE, hold_run
from toolformer_ray.workflow.book.settings import check_settings, resolve_settings
from toolformer_ray.workflow.corpus import look_at_corpus
from toolformer_ray.workflow.log import say, set_format, warn
from toolformer_ray.workflow.model_files import look_at_model
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.paths import refuse_lost_paths
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.proposer import (
    check_chat,
    fingerprint_of,
    longest_text,
    look_at_proposer,
    revision_of,
    with_proposer,
    with_settled,
)
from toolformer_ray.workflow.recipe import AnnotateRecipe
from toolformer_ray.workflow.refused_run import leaving_nothing_if_refused
from toolformer_ray.workflow.report.nothing_kept import describe_nothing_kept
from toolformer_ray.workflow.report.tables import describe_broken, describe_unanswered, false_share_table, yield_table
from toolformer_ray.workflow.report.unread import describe_unread
from toolformer_ray.workflow.report.yields import chances, tool_yields
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.shard.reuse import UNANSWERED


def annotate(options: AnnotateOptions) -> int:
    """Annotate a corpus and print the yield; returns the exit code: 0, 1 if shards failed, 130 or 143 if stopped.

    Raises ValueError, one line, for what the user has to change.
    """
    set_format(options.progress.log_format)
    with Interrupts() as interrupts:
        try:
            return _annotate(options, interrupts)
        except Interrupted:
            warn("stopped", "stopped before the first shard; run the same command again to go on")
            return interrupts.exit_code


def _annotate(options: AnnotateOptions, interrupts: Interrupts) -> int:
    tools = options.tools.make()
    refuse_lost_paths(options, tools)
    model = look_at_model(options.model.model)
    proposer = look_at_proposer(options.proposer)
    check_chat(options, model, proposer)
    most = longest_text(model, proposer, tools.values(), options.propose)
    options = with_settled(options, proposer)
    check_corpus(options.ingest, model.tokenizer, most)
    # Only tried: each worker opens it for itself. It makes a folder, so it comes after what may be refused.
    open_store(options.tools.answers)
    pipeline = with_proposer(PIPELINE, options.proposer)
    settings = resolve_settings(pipeline, options, tools, model.fingerprint, most, fingerprint_of(proposer))
    run = RunFolder(options.run)
    job = Job(
        run=run,
        recipe=AnnotateRecipe(
            options=options,
            max_text_tokens=most,
            model_revision=model.revision,
            proposer_revision=revision_of(proposer),
        ),
        pipeline=pipeline,
        stage_fingerprints=settings.stage_fingerprints,
        tool_fingerprints=settings.tool_fingerprints,
        may_corpus_change=options.change_settings,
        may_forget_files=options.forget_missing_files,
        ask_again=UNANSWERED if options.retry_failed else (),
        corpus=look_at_corpus(options.ingest.corpus, settings.stage_fingerprints[pipeline[0].name]),
        workers=options.workers,
        progress=options.progress,
        tool_names=[tool.name for tool in tools.values()],
        on_gpu=options.model.on_gpu,
    )
    with contextlib.ExitStack() as stack:
        with blaming_run_folder(run):
            stack.enter_context(leaving_nothing_if_refused(run))
            run.create()
            holder = stack.enter_context(hold_run(run))
            run.remove_leftovers(but_of=LEASE_FILE)
            changes = check_settings(run, settings, may_change=options.change_settings)
            settings.write(run)
        if changes:
            warn("settings_changed", f"what depends on it is made again: {'; '.join(changes)}", changes=list(changes))
        outcome = run_job(replace(job, taken_by=lambda: holder.taken_by), interrupts)
    _print_end(job, outcome)
    if outcome.last.state == "stopped":
        return interrupts.exit_code
    return 1 if outcome.last.failed_shards else 0


def _print_end(job: Job, outcome: Outcome) -> None:
    ledger, last = outcome.ledger, outcome.last
    print(yield_table(tool_yields(ledger.counts, job.tool_names)))
    if compared := chances(ledger.counts, job.tool_names):
        print(f"\n{false_share_table(compared)}\n")
    if why := describe_nothing_kept(job.run, ledger.counts, job.tool_names):
        print(f"\n{why}\n")
    unread = describe_unread(job.run, ledger.counts)
    for line in filter(None, (*unread, describe_unanswered(ledger.counts), describe_broken(ledger.counts))):
        print(line)
    print(f"{last.finished_texts:,} of {last.texts:,} texts are through, in {job.run.shown}")
    told = {"finished_texts": last.finished_texts, "texts": last.texts, "failed_shards": last.failed_shards}
    if last.state == "stopped":
        warn("stopped", "stopped; what is finished is kept: run the same command again to go on", **told)
    elif last.failed_shards:
        warn(
            "failed",
            f"{last.failed_shards:,} shards failed, see {job.run.shown}/failed; run the same command again to "
            "try them once more",
            **told,
        )
    else:
        say("finished", **told)
