"""What happens to one shard at one stage: read, compute, count, write. Runs in a worker, knows nothing of Ray.

A recipe says what "compute" is; the real one is `jobs.recipe.AnnotateRecipe`, and tests bring their own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from jobs.counting import count_rows
from jobs.pipeline import Needs, Stage
from records.fingerprint import fingerprint
from records.run_folder import RunFolder, shard_name
from records.schema import Record
from records.stages import DROP_REASONS, OUTPUT_RECORDS, Document, Dropped

StageOutput = tuple[Sequence[Record], Sequence[Dropped]]
"""The rows that go on, and what left the flow."""
Compute = Callable[[str, Sequence[list[Any]]], StageOutput]
"""(stage name, the rows of each table that the stage reads) -> its output."""


class Recipe(Protocol):
    """How rows are made; sent to every worker, so it can be pickled and holds nothing that is open."""

    def ingest(self) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        """The shards of the corpus, in order. Raises ValueError if the corpus cannot be used."""

    def open(self, needs: Needs) -> Compute:
        """Load what such stages need, once per worker. Raises ValueError if an option cannot be used."""


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """What a worker tells the driver about a shard: names and numbers, never rows."""

    shard: str
    fingerprint: str
    counts: Mapping[str, int]


class StageWorker:
    """Does the stages of one need; the model or the tools are opened once."""

    def __init__(self, run: RunFolder, recipe: Recipe, needs: Needs) -> None:
        self._run = run
        self._compute = recipe.open(needs)

    def work(self, stage: Stage, shard: str, shard_fingerprint: str) -> ShardReport:
        """Read the shard's inputs, compute, write its output. Overwrites an output that is there."""
        inputs = [self._run.read_shard(table, shard, OUTPUT_RECORDS[table]) for table in stage.reads]
        rows, drops = self._compute(stage.name, inputs)
        return write_output(self._run, stage, shard, rows, drops, shard_fingerprint)


class IngestWorker:
    """Cuts the corpus into shards, one at each call of `next_shard`."""

    def __init__(self, run: RunFolder, recipe: Recipe, stage: Stage, stage_fingerprint: str) -> None:
        self._run, self._stage, self._stage_fingerprint = run, stage, stage_fingerprint
        self._shards = enumerate(recipe.ingest())

    def next_shard(self) -> ShardReport | None:
        """Write the next shard of documents, or leave it alone if it is already there; None after the last."""
        number, (documents, drops) = next(self._shards, (None, ((), ())))
        if number is None:
            return None
        content = fingerprint(self._stage_fingerprint, documents, drops)
        header = self._run.header(self._stage.writes, shard_name(number))
        if header and header.fingerprint == content:
            return ShardReport(shard=shard_name(number), fingerprint=content, counts=header.counts)
        return write_output(self._run, self._stage, shard_name(number), documents, drops, content)


def write_output(
    run: RunFolder,
    stage: Stage,
    shard: str,
    rows: Sequence[Record],
    drops: Sequence[Dropped],
    shard_fingerprint: str,
) -> ShardReport:
    """Write what the stage dropped and then its rows: the shard counts as done once its rows are there."""
    counts = count_rows(stage.name, rows, drops)
    if DROP_REASONS[stage.name]:
        run.write_shard(f"dropped/{stage.name}", shard, Dropped, drops, fingerprint=shard_fingerprint, counts=counts)
    run.write_shard(
        stage.writes, shard, OUTPUT_RECORDS[stage.writes], rows, fingerprint=shard_fingerprint, counts=counts
    )
    return ShardReport(shard=shard, fingerprint=shard_fingerprint, counts=counts)
