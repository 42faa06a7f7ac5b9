"""`toolformer verify RUN`: checks that a run that has ended is complete and consistent.

It reads every table, shard by shard. Each file has to agree with its footer and has to be made with the run's settings
(`workflow.verify.files`). Each text needs a call or a reason for every tool; each candidate has to be executed and
scored, once, or dropped as broken; each kept call has to be in C* or dropped at its place; and a text of C* without its
calls has to be the document, to the letter (`workflow.shard.accounts`). Texts in failed shards are only counted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Augmented, Document
from toolformer_ray.workflow.book.settings import open_run, read_tool_names
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.shard.accounts import repeated_texts
from toolformer_ray.workflow.shard.outputs import read_drops
from toolformer_ray.workflow.shard.stage import Stage
from toolformer_ray.workflow.verify.files import find_faults

MAX_FINDINGS_SHOWN = 20


@dataclass
class Tally:
    """The result of checking a run."""

    texts: int = 0
    in_failed_shards: int = 0
    with_calls: int = 0
    calls: int = 0
    findings: list[str] = field(default_factory=list)


def verify_run(location: str) -> int:
    """Check a run and print the result. Returns 0, or 1 if something is wrong. Raises ValueError if there is no run."""
    tally = check_run(location)
    without = tally.texts - tally.with_calls - tally.in_failed_shards
    print(
        f"{tally.texts:,} texts: {tally.with_calls:,} in C* with {tally.calls:,} calls, {without:,} without a call, "
        f"{tally.in_failed_shards:,} in failed shards"
    )
    for finding in tally.findings[:MAX_FINDINGS_SHOWN]:
        print(finding)
    print(f"{len(tally.findings):,} findings" if tally.findings else "everything is accounted for")
    return 1 if tally.findings else 0


def check_run(location: str, pipeline: Sequence[Stage] = PIPELINE) -> Tally:
    """Check all shards of a run. Raises ValueError if there is no run, or if its tools are not known."""
    run = open_run(location)
    tools = read_tool_names(run)
    failed = {shard for stage in pipeline for shard in run.shards(f"failed/{stage.name}", ".json")}
    faults = list(find_faults(run, pipeline))
    faulty = {shard for shard, _ in faults}
    tally, seen = Tally(findings=[f"{shard}: {fault}" for shard, fault in faults]), set[str]()
    for shard in run.shards(Document.table):
        if shard in faulty:
            continue
        documents = run.read_shard(Document.table, shard, Document)
        tally.texts += len(documents)
        tally.findings += [f"{shard}: text {text_id} occurs twice" for text_id in repeated_texts(documents, seen)]
        if shard in failed:
            tally.in_failed_shards += len(documents)
        elif missing := [stage.table for stage in pipeline if run.header(stage.table, shard) is None]:
            tally.findings.append(f"{shard}: has no {', '.join(missing)}, and has not failed")
        else:
            rows = {stage.writes: run.read_shard(stage.table, shard, stage.writes) for stage in pipeline[1:]}
            tables: dict[type[Record], Sequence[Any]] = {**rows, Document: documents}
            tally.with_calls += len(tables[Augmented])
            tally.calls += sum(row.num_calls for row in tables[Augmented])
            tally.findings += _check_shard(run, shard, pipeline, tables, tools)
    return tally


def _check_shard(
    run: RunFolder,
    shard: str,
    pipeline: Sequence[Stage],
    tables: Mapping[type[Record], Sequence[Any]],
    tools: Sequence[str],
) -> Iterator[str]:
    for stage in pipeline:
        if stage.check:
            inputs = [tables[record] for record in stage.reads]
            for finding in stage.check(inputs, tables[stage.writes], read_drops(run, stage, shard), tools):
                yield f"{shard}, {stage.name}: {finding}"
