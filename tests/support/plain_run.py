"""A run without a driver: every shard at every stage, one after the other, in this process."""

from toolformer_ray.jobs.driver.run_job import Job
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.shard.work import StageWorker


def run_without_ray(job: Job, max_shards: int | None = None) -> Ledger:
    """Do all shards of a job, or the first ones; what is there already is made again."""
    ledger = Ledger(job.pipeline, job.stage_fingerprints, {}, tool_fingerprints=job.tool_fingerprints)
    worker = StageWorker(job.run, job.recipe, "cpu")
    corpus = worker.read_corpus(job.pipeline[0], ledger.ingest_fingerprint)
    while len(ledger.documents) != max_shards and (report := corpus.next_shard()):
        stage = ledger.admit(report.shard, report.header)
        while stage:
            made = worker.work(stage, report.shard, ledger.expected(stage, report.shard))
            assert made
            stage = ledger.finish(stage, report.shard, made.header)
    return ledger
