"""Does one shard at one stage: read, compute, count, write. It runs in a worker and knows nothing of Ray."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from toolformer_ray.records.counts import TOKENS
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import DamagedError, RunFolder, shard_name
from toolformer_ray.records.schema import Record, to_table
from toolformer_ray.records.stages import BROKEN, Document, Dropped
from toolformer_ray.workflow.corpus import read_state
from toolformer_ray.workflow.shard.outputs import (
    Expected,
    ShardReport,
    find_output,
    forget_drops,
    read_drops,
    write_output,
)
from toolformer_ray.workflow.shard.reuse import AS_A_WHOLE, Compute, Earlier, NothingToReuseError, Order, Reuse, refuse
from toolformer_ray.workflow.shard.sampled import SampledRows, known_texts, read_sample, sample_folder
from toolformer_ray.workflow.shard.stage import Needs, Stage


class Recipe(Protocol):
    """Opens the resources of workers. It is sent to every worker, so it can be pickled and holds nothing that is open.

    The real one is `workflow.recipe.AnnotateRecipe`; tests have their own.
    """

    def open(self, needs: Needs) -> Any:
        """Load what stages with these needs work with, once per worker: the first argument of their functions.

        Raises ValueError if an option cannot be used.
        """


class StageWorker:
    """Does the stages with one kind of needs; the model or the tools are opened once."""

    def __init__(self, run: RunFolder, recipe: Recipe, needs: Needs) -> None:
        self._run = run
        self._opened = recipe.open(needs)
        self._done_before: Mapping[str, int] = {}
        self._samples: dict[str, SampledRows | None] = {}
        """Per stage, what an estimate made of its sample, once it was looked for."""

    def work(
        self,
        stage: Stage,
        shard: str,
        expected: Expected,
        ask_again: Collection[str] = (),
        *,
        only_reuse: bool = False,
        broken: Mapping[int, str] = MappingProxyType({}),
    ) -> ShardReport | None:
        """Read the inputs of a shard, compute what an earlier output does not hold, and write the output over it.

        With `only_reuse` nothing is computed, and the result is None if something would have to be. Rows of the first
        input whose numbers are in `broken` are left out, and dropped with that error.
        """
        self._done_before, tokens_before = self._done(), self._tokens_read()
        compute = refuse if only_reuse else self._compute_of(stage)
        order, tables, earlier = self._read(stage, shard, expected, ask_again)
        reuse = _reuse_of(stage, order)
        try:
            if broken:
                rows, drops = reuse.complete_without(broken, order, tables, earlier, compute)
            else:
                rows, drops = reuse.complete(order, tables, earlier, compute)
        except NothingToReuseError:
            return None
        spent = {TOKENS: self._tokens_read() - tokens_before}
        return write_output(self._run, stage, shard, rows, drops, expected, spent)

    def news(self) -> dict[str, int]:
        """What was answered of the shard in hand so far; another thread may ask while it is worked on."""
        return {name: number - self._done_before.get(name, 0) for name, number in self._done().items()}

    def _done(self) -> Mapping[str, int]:
        """What was answered since the worker was opened, if that is counted (`workflow.recipe.Opened.done`)."""
        return getattr(self._opened, "done", {})

    def find(self, stage: Stage, shard: str, expected: Expected, ask_again: Collection[str]) -> ShardReport | None:
        """The report of an output that is there already; None if it is not, or if calls are asked again."""
        header = None if ask_again else find_output(self._run, stage, shard)
        return (
            ShardReport(shard=shard, header=header) if header and header.fingerprint == expected.fingerprint else None
        )

    def _tokens_read(self) -> int:
        """Tokens that went through the model so far, if there is one (`workflow.recipe.OpenedModel`)."""
        return getattr(self._opened, "num_tokens_read", 0)

    def try_rows(
        self, stage: Stage, shard: str, expected: Expected, ask_again: Collection[str], rows: Sequence[int]
    ) -> int:
        """Do only the rows of these numbers of the first input and write nothing, to see whether they break the stage.

        Returns how many rows the first input has.
        """
        order, tables, earlier = self._read(stage, shard, expected, ask_again)
        if rows:
            tried = [tables[0][number] for number in rows]
            texts = {row.text_id for row in tried}
            held = replace(
                earlier,
                rows=[row for row in earlier.rows if row.text_id in texts],
                drops=[drop for drop in earlier.drops if drop.text_id in texts],
            )
            made, drops = _reuse_of(stage, order).complete(order, [tried, *tables[1:]], held, self._compute_of(stage))
            for record, output in ((stage.writes, made), (Dropped, drops)):
                to_table(record, output)
        return len(tables[0])

    def read_corpus(self, stage: Stage, stage_fingerprint: str) -> "CorpusReader":
        """Begin to read the corpus, with its first shard."""
        return CorpusReader(self._run, self._opened, stage, stage_fingerprint)

    def _compute_of(self, stage: Stage) -> Compute:
        return lambda tables, tools: stage.run(self._opened, tools, *tables)

    def _read(
        self, stage: Stage, shard: str, expected: Expected, ask_again: Collection[str]
    ) -> tuple[Order, list[list[Any]], Earlier]:
        order = Order(stage=stage.name, tools=list(expected.parts), opened=self._opened, ask_again=ask_again)
        tables = [self._read_input(record, shard) for record in stage.reads]
        earlier = self._read_earlier(stage, shard, expected, are_broken_tried=bool(ask_again))
        return order, tables, self._with_sample(earlier, stage, expected, tables)

    def _with_sample(self, earlier: Earlier, stage: Stage, expected: Expected, tables: Sequence[list[Any]]) -> Earlier:
        """The earlier rows with those of an estimate's sample, if the shard has texts of it."""
        if not expected.made_by or Document not in stage.reads:
            return earlier
        if stage.name not in self._samples:
            self._samples[stage.name] = read_sample(sample_folder(self._run), stage)
        if not (sample := self._samples[stage.name]):
            return earlier
        texts = known_texts(sample, tables[stage.reads.index(Document)])
        same = {tool for tool, made_by in expected.made_by.items() if sample.made_by.get(tool) == made_by}
        tools = same - set(earlier.tools)
        return replace(
            earlier,
            rows=[*earlier.rows, *(row for row in sample.rows if row.tool in tools and row.text_id in texts)],
            drops=[*earlier.drops, *(drop for drop in sample.drops if drop.tool in tools and drop.text_id in texts)],
            sampled_tools=tools,
            sampled_texts=texts,
        )

    def _read_input(self, record: type[Record], shard: str) -> list[Any]:
        try:
            return self._run.read_shard(record.table, shard, record)
        except DamagedError as error:
            raise DamagedError(f"{error}; run the same command again: it is made again") from error

    def _read_earlier(self, stage: Stage, shard: str, expected: Expected, *, are_broken_tried: bool) -> Earlier:
        header = find_output(self._run, stage, shard) if expected.parts else None
        tools = {tool for tool, made_from in expected.parts.items() if header and header.parts.get(tool) == made_from}
        if not tools:
            return Earlier()
        try:
            rows = self._run.read_shard(stage.table, shard, stage.writes)
            drops = read_drops(self._run, stage, shard)
        except DamagedError:
            return Earlier()  # It is made again.
        if are_broken_tried:
            tools -= {drop.tool for drop in drops if drop.reason == BROKEN}
        return Earlier(
            tools=tools,
            rows=[row for row in rows if getattr(row, "tool", None) in tools],
            drops=[drop for drop in drops if drop.tool in tools],
        )


def _reuse_of(stage: Stage, order: Order) -> Reuse:
    """The stage's way to reuse rows, unless no tools are given: then rows belong to none."""
    return stage.reuse if order.tools else AS_A_WHOLE


class CorpusReader:
    """Reads the corpus and writes a shard of documents at each call of `next_shard`."""

    def __init__(self, run: RunFolder, opened: Any, stage: Stage, stage_fingerprint: str) -> None:
        self._run, self._stage, self._stage_fingerprint = run, stage, stage_fingerprint
        state = read_state(run, stage_fingerprint)
        self._shards = enumerate(stage.run(opened, state.groups() if state else []))

    def next_shard(self) -> ShardReport | None:
        """Write the next shard, or leave it as it is if it is already there. None after the last one."""
        number, (documents, drops) = next(self._shards, (None, ((), ())))
        if number is None:
            return None
        content = fingerprint(self._stage_fingerprint, documents, drops)
        header = find_output(self._run, self._stage, shard_name(number))
        if header and header.fingerprint == content:
            if not drops:
                forget_drops(self._run, self._stage, shard_name(number))  # A damaged file looks as if there were none.
            return ShardReport(shard=shard_name(number), header=header)
        expected = Expected(fingerprint=content)
        return write_output(self._run, self._stage, shard_name(number), documents, drops, expected)
