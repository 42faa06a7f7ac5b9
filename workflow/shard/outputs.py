"""The output of a stage for a shard: a file of rows and, only if rows were dropped, a file of dropped rows.

An output without rows is written too, since most texts keep no call. The footers of both files count what was dropped,
by reason; if they disagree, the shard is not done. The dropped rows are written before the rows, and those of an
earlier output are deleted before the rows if nothing is dropped any more. So whenever a worker is killed, no rows
count as done beside the dropped rows of another output.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from toolformer_ray.records.counts import Count
from toolformer_ray.records.run_folder import DamagedError, RunFolder, TableHeaders, shard_of
from toolformer_ray.records.schema import Record
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.records.stages import BROKEN, Dropped
from toolformer_ray.records.storage import NOT_A_FILE
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.shard.counts import count_output
from toolformer_ray.workflow.shard.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an output has to be made from in order to count as done."""

    fingerprint: str
    """Hash of the stage's settings and of the content of what it reads."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Per tool, in the order in which tools are proposed, the hash of its own settings and of the documents."""
    made_by: Mapping[str, str] = field(default_factory=dict)
    """Per tool, the hash of its own settings alone."""


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """A worker's report to the driver about a shard. It holds no rows."""

    shard: str
    header: ShardHeader


def belong_together(output: ShardHeader, drops: ShardHeader | None) -> bool:
    """Whether these headers are of one output's rows and dropped rows (None if there is no file of dropped rows)."""
    if drops is None:
        return not any(name.what == "dropped" for name in output.counts)
    return (drops.fingerprint, drops.counts) == (output.fingerprint, output.counts)


def find_outputs(run: RunFolder, stage: Stage) -> TableHeaders:
    """The headers of all complete outputs of a stage: those whose dropped rows, if any, are there too."""
    found, drops = run.headers(stage.table), run.headers(stage.drops_table)
    unreadable = {shard_of(path) for path in drops.damaged}
    whole = {
        shard: header
        for shard, header in found.by_shard.items()
        if shard not in unreadable and belong_together(header, drops.by_shard.get(shard))
    }
    return TableHeaders(by_shard=whole, damaged=[*found.damaged, *drops.damaged])


def find_output(run: RunFolder, stage: Stage, shard: str) -> ShardHeader | None:
    """The header of one output; None if it is not complete."""
    header = run.header(stage.table, shard)
    return header if header and belong_together(header, run.header(stage.drops_table, shard)) else None


def read_drops(run: RunFolder, stage: Stage, shard: str) -> list[Dropped]:
    """The rows that a stage dropped of a shard. Raises DamagedError if their file is damaged."""
    try:
        return run.read_shard(stage.drops_table, shard, Dropped)
    except FileNotFoundError:
        return []


def forget_drops(run: RunFolder, stage: Stage, shard: str) -> None:
    """Delete the dropped rows of an earlier output, if there are any."""
    run.delete(f"{stage.drops_table}/{shard}.parquet")


def tables_of(pipeline: Sequence[Stage]) -> dict[str, type[Record]]:
    """The record of each table of a run, by the name of the table; the tables of dropped rows come last."""
    return {stage.table: stage.writes for stage in pipeline} | {stage.drops_table: Dropped for stage in pipeline}


def discard_damaged(run: RunFolder, pipeline: Sequence[Stage]) -> None:
    """Delete files whose footer is good but whose rows are damaged, so that they are made again, and log it.

    Only files of failed shards are read, since a shard fails if it reads a damaged file. Nobody else may be writing.
    """
    for shard in sorted({shard for stage in pipeline for shard in run.shards(f"failed/{stage.name}", ".json")}):
        for table, record in tables_of(pipeline).items():
            try:
                run.check_shard(table, shard, record)
            except NOT_A_FILE:
                continue
            except DamagedError as error:
                run.delete(f"{table}/{shard}.parquet")
                warn("damaged_shard", f"{error}; it is made again")


def write_output(
    run: RunFolder,
    stage: Stage,
    shard: str,
    rows: Sequence[Record],
    drops: Sequence[Dropped],
    expected: Expected,
    spent: Mapping[Count, int] = MappingProxyType({}),
) -> ShardReport:
    """Write the dropped rows and then the rows, with which the shard is done. `spent` is counted with the rows.

    Raises ValueError for a drop whose reason the stage does not declare.
    """
    if strange := {drop.reason for drop in drops} - {*stage.drops, BROKEN}:
        raise ValueError(f"{stage.name} drops rows for reasons that are not declared: {', '.join(sorted(strange))}")
    counts = count_output(stage, rows, drops) + Counter(spent)

    def write(table: str, record: type[Record], content: Sequence[Record]) -> ShardHeader:
        return run.write_shard(
            table, shard, record, content, fingerprint=expected.fingerprint, counts=counts, parts=expected.parts
        )

    if drops:
        write(stage.drops_table, Dropped, drops)
    else:
        forget_drops(run, stage, shard)
    header = write(stage.table, stage.writes, rows)
    return ShardReport(shard=shard, header=header)
