"""Checks every file of a run: its columns, its rows, what it was made from, and whether it belongs there at all."""

from collections.abc import Iterator, Mapping, Sequence

from toolformer_ray.records.run_folder import RUN_FILE, DamagedError, RunFolder
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.corpus import INGEST_FILE
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.outputs import belong_together, tables_of
from toolformer_ray.workflow.shard.stage import Stage


def find_faults(run: RunFolder, pipeline: Sequence[Stage] = PIPELINE) -> Iterator[tuple[str, str]]:
    """(shard or path, what is wrong) for every file that is damaged, stale or out of place."""
    headers: dict[str, dict[str, ShardHeader]] = {}
    for table, record in tables_of(pipeline).items():
        headers[table] = {}
        for shard in run.shards(table):
            try:
                headers[table][shard] = run.check_shard(table, shard, record)
            except DamagedError as error:
                yield shard, f"{error}; delete it and annotate makes it again"
        yield from ((path, "is named like a shard and is no file") for path in run.misplaced(table))
    yield from ((path, "was left by a run that was killed; annotate removes it") for path in run.leftovers())
    documents = headers[pipeline[0].table]
    for table, by_shard in headers.items():
        for shard in sorted(by_shard.keys() - documents.keys()):
            yield shard, f"is in {table} but not in {pipeline[0].table}"
    for stage in pipeline:
        for shard, header in headers[stage.table].items():
            if not belong_together(header, headers[stage.drops_table].get(shard)):
                yield shard, f"{stage.drops_table} does not hold what {stage.table} tells that was dropped"
    yield from _find_stale(run, pipeline, headers)


def _find_stale(
    run: RunFolder, pipeline: Sequence[Stage], headers: Mapping[str, Mapping[str, ShardHeader]]
) -> Iterator[tuple[str, str]]:
    """Outputs that were made with other settings than the run's, or from other inputs than those in the folder."""
    made_with, corpus = run.read_json(RUN_FILE), run.read_json(INGEST_FILE)
    if not isinstance(made_with, dict) or "stage_fingerprints" not in made_with:
        return
    read = corpus["shards"] if isinstance(corpus, dict) else {}
    ledger = Ledger(
        pipeline,
        made_with["stage_fingerprints"],
        headers,
        tool_fingerprints=made_with.get("tool_fingerprints", {}),
    )
    for shard, documents in headers[pipeline[0].table].items():
        if read.get(shard) != documents.fingerprint:
            yield shard, "its documents are not those that were read from the corpus"
        stage = ledger.admit(shard, documents)
        if stage and shard in headers[stage.table]:
            yield shard, f"{stage.table} was made with other settings or from other rows"
