"""What happens to one shard at one stage: read, compute, count, write. Runs in a worker, knows nothing of Ray.

A recipe says what "compute" is; the real one is `jobs.recipe.AnnotateRecipe`, and tests bring their own.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from jobs.corpus_state import read_state
from jobs.counting import count_rows
from jobs.pipeline import Needs, Stage
from jobs.reuse import Compute, Earlier, NothingToReuseError, Order, StageOutput, complete, refuse
from records.fingerprint import fingerprint
from records.run_folder import RunFolder, TableHeaders, shard_name
from records.schema import Record
from records.shard_header import ShardHeader
from records.stages import DROP_REASONS, OUTPUT_RECORDS, Document, Dropped, Scored

__all__ = ["Compute", "Expected", "IngestWorker", "Recipe", "ShardReport", "StageOutput", "StageWorker"]


class Recipe(Protocol):
    """How rows are made; sent to every worker, so it can be pickled and holds nothing that is open."""

    def ingest(self, readings: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        """The shards of the corpus, in order, of each reading's files after those of the one before.

        Raises ValueError if the corpus cannot be used.
        """

    def open(self, needs: Needs) -> Compute:
        """Load what such stages need, once per worker. Raises ValueError if an option cannot be used."""

    def judge(self, row: Scored) -> Scored | None:
        """The row with today's verdict, spoken on its losses; None if they do not suffice."""


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


class StageWorker:
    """Does the stages of one need; the model or the tools are opened once."""

    def __init__(self, run: RunFolder, recipe: Recipe, needs: Needs) -> None:
        self._run = run
        self._recipe = recipe
        self._compute = recipe.open(needs)

    def work(
        self,
        stage: Stage,
        shard: str,
        expected: Expected,
        ask_again: Collection[str] = (),
        *,
        only_reuse: bool = False,
    ) -> ShardReport | None:
        """Read the shard's inputs, compute what an earlier output does not hold, write the output over it.

        With `only_reuse` nothing is computed: None if something would have to be.
        """
        inputs = [self._read_input(table, shard) for table in stage.reads]
        order = Order(stage=stage.name, tools=list(expected.parts), ask_again=ask_again)
        earlier = self._read_earlier(stage, shard, expected)
        try:
            rows, drops = complete(order, inputs, earlier, refuse if only_reuse else self._compute, self._recipe.judge)
        except NothingToReuseError:
            return None
        return write_output(self._run, stage, shard, rows, drops, expected)

    def _read_input(self, table: str, shard: str) -> list[Any]:
        try:
            return self._run.read_shard(table, shard, OUTPUT_RECORDS[table])
        except (pa.ArrowException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise
            # Not deleted here: a store that is out of reach for a moment looks the same.
            raise OSError(
                f"{self._run.shown}/{table}/{shard}.parquet is damaged or cannot be read "
                f"({' '.join(str(error).split())}); if it stays so, delete it and run the same command again: it is "
                "made again"
            ) from error

    def _read_earlier(self, stage: Stage, shard: str, expected: Expected) -> Earlier:
        drops_table = _drops_table(stage)
        headers = [self._run.header(table, shard) for table in (stage.writes, drops_table) if table]
        tools = {
            tool
            for tool, made_from in expected.parts.items()
            if all(header and header.parts.get(tool) == made_from for header in headers)
        }
        if not tools:
            return Earlier()
        try:
            rows = self._run.read_shard(stage.writes, shard, OUTPUT_RECORDS[stage.writes])
            drops = self._run.read_shard(drops_table, shard, Dropped) if drops_table else []
        except (pa.ArrowException, OSError):
            return Earlier()  # Damaged behind its footer: it is made again.
        return Earlier(
            tools=tools,
            rows=[row for row in rows if getattr(row, "tool", None) in tools],
            drops=[drop for drop in drops if drop.tool in tools],
        )


class IngestWorker:
    """Cuts the corpus into shards, one at each call of `next_shard`."""

    def __init__(self, run: RunFolder, recipe: Recipe, stage: Stage, stage_fingerprint: str) -> None:
        self._run, self._stage, self._stage_fingerprint = run, stage, stage_fingerprint
        state = read_state(run, stage_fingerprint)
        self._shards = enumerate(recipe.ingest(state.readings if state else []))

    def next_shard(self) -> ShardReport | None:
        """Write the next shard of documents, or leave it alone if it is already there; None after the last."""
        number, (documents, drops) = next(self._shards, (None, ((), ())))
        if number is None:
            return None
        content = fingerprint(self._stage_fingerprint, documents, drops)
        expected, drops_table = Expected(fingerprint=content), _drops_table(self._stage)
        headers = [self._run.header(table, shard_name(number)) for table in (self._stage.writes, drops_table) if table]
        if headers[0] and all(header and header.fingerprint == content for header in headers):
            return ShardReport(shard=shard_name(number), header=headers[0])
        return write_output(self._run, self._stage, shard_name(number), documents, drops, expected)


def find_outputs(run: RunFolder, stage: Stage) -> TableHeaders:
    """The headers of what a stage has written; without those of shards whose dropped rows are not there too."""
    found, drops_table = run.headers(stage.writes), _drops_table(stage)
    if drops_table is None:
        return found
    drops = run.headers(drops_table)
    whole = {
        shard: header
        for shard, header in found.by_shard.items()
        if shard in drops.by_shard and drops.by_shard[shard].fingerprint == header.fingerprint
    }
    return TableHeaders(by_shard=whole, damaged=[*found.damaged, *drops.damaged])


def _drops_table(stage: Stage) -> str | None:
    return f"dropped/{stage.name}" if DROP_REASONS[stage.name] else None


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

    if drops_table := _drops_table(stage):
        write(drops_table, Dropped, drops)
    header = write(stage.writes, OUTPUT_RECORDS[stage.writes], rows)
    return ShardReport(shard=shard, header=header)
