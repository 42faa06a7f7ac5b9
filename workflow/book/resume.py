"""Puts a run folder in order: when a driver opens it, at the end of the corpus, and at the end of the run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.ledger import Ledger
from toolformer_ray.workflow.corpus import CorpusState
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.shard.outputs import find_outputs
from toolformer_ray.workflow.shard.stage import Stage


def open_ledger(
    run: RunFolder,
    pipeline: Sequence[Stage],
    stage_fingerprints: Mapping[str, str],
    *,
    tool_fingerprints: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ask_again: Collection[str] = (),
) -> Ledger:
    """A ledger with the headers of all outputs that are there. Damaged ones are logged and left out."""
    outputs = {stage.table: find_outputs(run, stage) for stage in pipeline}
    for found in outputs.values():
        for path in found.damaged:
            warn("damaged_shard", f"{path} is damaged or not a shard of this program; it is made again", path=path)
    headers = {table: found.by_shard for table, found in outputs.items()}
    return Ledger(pipeline, stage_fingerprints, headers, tool_fingerprints=tool_fingerprints, ask_again=ask_again)


def admit_documents(ledger: Ledger, shards: Mapping[str, str]) -> bool:
    """Enter the shards of a corpus that was read to its end, given with their fingerprints.

    Returns False, and enters none of them, if the corpus has to be read again.
    """
    headers = ledger.headers[ledger.pipeline[0].table]
    if not shards or any(name not in headers or headers[name].fingerprint != shards[name] for name in shards):
        return False
    for name in shards:
        ledger.admit(name, headers[name])
    return True


def end_ingest(run: RunFolder, ledger: Ledger, corpus: CorpusState) -> None:
    """Note that the corpus was read to its end, and delete shards that are not made of it any more.

    Raises UnusableError if the corpus holds no text, or if the run folder cannot be written to.
    """
    if ledger.num_texts == 0:
        counts = ledger.counts[ledger.pipeline[0].name]
        reasons = ", ".join(f"{name.detail} {number:,}" for name, number in counts.items() if name.what == "dropped")
        raise UnusableError(f"the corpus holds no usable text ({reasons or 'no rows'}); give another `corpus`")
    admitted = set(ledger.shards)
    with blaming_run_folder(run):
        for stage in ledger.pipeline:
            folders = {stage.table: ".parquet", stage.drops_table: ".parquet", f"failed/{stage.name}": ".json"}
            for folder, suffix in folders.items():
                for shard in set(run.shards(folder, suffix)) - admitted:
                    run.delete(f"{folder}/{shard}{suffix}")
        replace(corpus, shards=ledger.documents).write(run)


def forget_old_failures(run: RunFolder, ledger: Ledger) -> None:
    """Delete the failures that earlier runs noted, at the end of a run: those shards are done now, or gone."""
    for stage, failed in ledger.failed.items():
        for shard in set(run.shards(f"failed/{stage}", ".json")) - failed:
            run.delete(f"failed/{stage}/{shard}.json")
