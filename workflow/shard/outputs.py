"""What a stage leaves of a shard: its rows, and beside them, only where there are any, what it dropped.

The footer of the rows counts what was dropped, by reason; a shard whose two files do not tell the same is not done. The
dropped rows are written first, or those of an earlier output deleted first, so whenever a worker is killed, no rows
stand beside what another output dropped. An empty output is written too, since most texts keep no call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    """What an output has to be made from to count as done."""

    fingerprint: str
    """Of the stage's settings and the content of what it reads."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Per tool, in the order in which tools are proposed, of its own settings and the documents."""


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a worker tells the driver about a shard: names and numbers, never rows."""

    shard: str
    header: ShardHeader


def belong_together(output: ShardHeader, drops: ShardHeader | None) -> bool:
    """Whether these are the rows of an output and what was dropped beside them, None if nothing was."""
    if drops is None:
        return not any(name.what == "dropped" for name in output.counts)
    return (drops.fingerprint, drops.counts) == (output.fingerprint, output.counts)


def find_outputs(run: RunFolder, stage: Stage) -> TableHeaders:
    """The headers of what a stage has written; without those of shards whose dropped rows are not there too."""
    found, drops = run.headers(stage.table), run.headers(stage.drops_table)
    unreadable = {shard_of(path) for path in drops.damaged}
    whole = {
        shard: header
        for shard, header in found.by_shard.items()
        if shard not in unreadable and belong_together(header, drops.by_shard.get(shard))
    }
    return TableHeaders(by_shard=whole, damaged=[*found.damaged, *drops.damaged])


def find_output(run: RunFolder, stage: Stage, shard: str) -> ShardHeader | None:
    """The header of one output; None if it, or what was dropped beside it, is not there."""
    header = run.header(stage.table, shard)
    return header if header and belong_together(header, run.header(stage.drops_table, shard)) else None


def read_drops(run: RunFolder, stage: Stage, shard: str) -> list[Dropped]:
    """What a stage dropped of a shard. Raises DamagedError if the file is damaged."""
    try:
        return run.read_shard(stage.drops_table, shard, Dropped)
    except FileNotFoundError:
        return []


def forget_drops(run: RunFolder, stage: Stage, shard: str) -> None:
    """Delete what was dropped beside an earlier output, if anything was."""
    run.delete(f"{stage.drops_table}/{shard}.parquet")


def tables_of(pipeline: Sequence[Stage]) -> dict[str, type[Record]]:
    """The rows of each table of a run by its name, first what goes on, then what was dropped."""
    return {stage.table: stage.writes for stage in pipeline} | {stage.drops_table: Dropped for stage in pipeline}


def discard_damaged(run: RunFolder, pipeline: Sequence[Stage]) -> None:
    """Delete what is damaged behind a good footer, so that it is made again, and say so.

    Only files of shards that failed are read, as that is how it comes out; nobody else may be writing to the run.
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
) -> ShardReport:
    """Write what the stage dropped and then its rows: the shard counts as done once its rows are there.

    Raises ValueError for a drop whose reason is not declared.
    """
    if strange := {drop.reason for drop in drops} - {*stage.drops, BROKEN}:
        raise ValueError(f"{stage.name} drops rows for reasons that are not declared: {', '.join(sorted(strange))}")
    counts = count_output(stage, rows, drops)

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
