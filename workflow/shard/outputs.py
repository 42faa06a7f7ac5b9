"""What a stage leaves of a shard: its rows, and beside them, only where there are any, what it dropped.

The footer of the rows counts what was dropped, by reason; a shard whose two files do not tell the same is not done. The
dropped rows are written first, or those of an earlier output deleted first, so whenever a worker is killed, no rows
stand beside what another output dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolformer_ray.records.run_folder import DamagedError, RunFolder, TableHeaders, shard_of
from toolformer_ray.records.schema import Record
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.records.stages import OUTPUT_RECORDS, Dropped
from toolformer_ray.records.storage import NOT_A_FILE
from toolformer_ray.workflow.log import warn
from toolformer_ray.workflow.pipeline import PIPELINE, Stage
from toolformer_ray.workflow.shard.counts import count_rows


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


def drops_table(stage: Stage) -> str:
    """Where the dropped rows of a stage are."""
    return f"dropped/{stage.name}"


def belong_together(output: ShardHeader, drops: ShardHeader | None) -> bool:
    """Whether these are the rows of an output and what was dropped beside them; None and no rows are the same."""
    if drops is None or not drops.num_rows:
        return not any(name.startswith("dropped.") for name in output.counts)
    return (drops.fingerprint, drops.counts) == (output.fingerprint, output.counts)


def find_outputs(run: RunFolder, stage: Stage) -> TableHeaders:
    """The headers of what a stage has written; without those of shards whose dropped rows are not there too.

    For who holds the run: the tables' books are written.
    """
    found, drops = run.headers(stage.writes, keep=True), run.headers(drops_table(stage), keep=True)
    unreadable = {shard_of(path) for path in drops.damaged}
    whole = {
        shard: header
        for shard, header in found.by_shard.items()
        if shard not in unreadable and belong_together(header, drops.by_shard.get(shard))
    }
    return TableHeaders(by_shard=whole, damaged=[*found.damaged, *drops.damaged])


def find_output(run: RunFolder, stage: Stage, shard: str) -> ShardHeader | None:
    """The header of one output; None if it, or what was dropped beside it, is not there."""
    header = run.header(stage.writes, shard)
    return header if header and belong_together(header, run.header(drops_table(stage), shard)) else None


def read_drops(run: RunFolder, stage: Stage, shard: str) -> list[Dropped]:
    """What a stage dropped of a shard. Raises DamagedError if the file is damaged."""
    try:
        return run.read_shard(drops_table(stage), shard, Dropped)
    except FileNotFoundError:
        return []


def forget_drops(run: RunFolder, stage: Stage, shard: str) -> None:
    """Delete what was dropped beside an earlier output, if anything was."""
    run.delete(f"{drops_table(stage)}/{shard}.parquet")


def discard_damaged(run: RunFolder) -> None:
    """Delete what is damaged behind a good footer, so that it is made again, and say so.

    Only files of shards that failed are read, as that is how it comes out; nobody else may be writing to the run.
    """
    tables: Mapping[str, type[Record]] = {**OUTPUT_RECORDS, **{drops_table(stage): Dropped for stage in PIPELINE}}
    for shard in sorted({shard for stage in PIPELINE for shard in run.shards(f"failed/{stage.name}", ".json")}):
        for table, record in tables.items():
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
    """Write what the stage dropped and then its rows: the shard counts as done once its rows are there."""
    counts = count_rows(stage.name, rows, drops)

    def write(table: str, record: type[Record], content: Sequence[Record]) -> ShardHeader:
        return run.write_shard(
            table, shard, record, content, fingerprint=expected.fingerprint, counts=counts, parts=expected.parts
        )

    if drops:
        write(drops_table(stage), Dropped, drops)
    else:
        forget_drops(run, stage, shard)
    header = write(stage.writes, OUTPUT_RECORDS[stage.writes], rows)
    return ShardReport(shard=shard, header=header)
