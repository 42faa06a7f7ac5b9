"""What is done, what is to do: the driver's book about the shards of a run. Knows neither Ray nor time.

The fingerprint of an output is that of its stage's settings and of the content of what it reads. So an output is done
if and only if its header carries the fingerprint that the book expects; and a stage that is made again with the same
rows leaves the stages after it as they are.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.shard_header import ShardHeader
from toolformer_ray.workflow.shard.counts import num_broken, num_with_status
from toolformer_ray.workflow.shard.outputs import Expected
from toolformer_ray.workflow.shard.stage import Stage


class Ledger:
    """One run's book; the first stage of the pipeline is the one that makes the shards."""

    def __init__(
        self,
        pipeline: Sequence[Stage],
        stage_fingerprints: Mapping[str, str],
        headers: Mapping[str, Mapping[str, ShardHeader]],
        *,
        tool_fingerprints: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        ask_again: Collection[str] = (),
    ) -> None:
        self.pipeline = pipeline
        self._stages = pipeline[1:]
        self._ingest = pipeline[0].name
        self._documents = pipeline[0].table
        self._stage_fingerprints = stage_fingerprints
        self._tool_fingerprints = tool_fingerprints
        self.ask_again = ask_again
        """Statuses of calls that are asked again, although their shard is done; with any, broken rows are tried too."""
        self.headers = headers
        """Per table, the headers that were there when the book was opened."""
        self.documents: dict[str, str] = {}
        """The fingerprint of each shard of documents that was admitted, in the order of the corpus."""
        self._contents: dict[str, dict[str, str]] = {}
        self._num_texts: dict[str, int] = {}
        self._finished: set[str] = set()
        self.num_skipped = 0
        """Outputs that were there already."""
        self.done: dict[str, set[str]] = {stage.name: set() for stage in pipeline}
        """Shards done, per stage."""
        self.failed: dict[str, set[str]] = {stage.name: set() for stage in pipeline}
        """Shards given up, per stage."""
        self.tried_again: Counter[str] = Counter()
        """Attempts of this run that failed and were not the last, per stage."""
        self.counts: dict[str, Counter[Count]] = {stage.name: Counter() for stage in pipeline}
        """The counts of all done shards, per stage."""
        self.num_new_texts = 0
        """Texts that this run, not an earlier one, brought to the end."""

    def admit(self, shard: str, documents: ShardHeader) -> Stage | None:
        """Enter a shard of documents; returns the first stage that it still has to go through, None if all are done."""
        self.documents[shard] = documents.fingerprint
        self._contents[shard] = {self._documents: documents.content}
        self._num_texts[shard] = documents.counts[ROWS]
        self._enter(self._ingest, shard, documents.counts)
        return self.next_stage(shard)

    def expected(self, stage: Stage, shard: str) -> Expected:
        """What this stage's output for this shard has to be made from; all that it reads must be done."""
        contents = self._contents[shard]
        tools = self._tool_fingerprints.get(stage.name, {})
        read = [contents[record.table] for record in stage.reads]
        return Expected(
            fingerprint=fingerprint(self._stage_fingerprints[stage.name], read),
            parts={tool: fingerprint(made_by, contents[self._documents]) for tool, made_by in tools.items()},
        )

    def may_reuse(self, stage: Stage, shard: str) -> bool:
        """Whether an earlier output for other settings may hold all that is needed, so that nothing is computed."""
        header, expected = self._header(stage, shard), self.expected(stage, shard)
        return bool(
            header
            and header.fingerprint != expected.fingerprint
            and expected.parts
            and expected.parts.items() <= header.parts.items()
        )

    def next_stage(self, shard: str) -> Stage | None:
        """The first stage that is not done; stages whose output is there are entered as done on the way."""
        for stage in self._stages:
            if shard in self.done[stage.name]:
                continue
            header = self._header(stage, shard)
            if (
                header is None
                or header.fingerprint != self.expected(stage, shard).fingerprint
                or num_with_status(header.counts, self.ask_again)
                or (self.ask_again and num_broken(header.counts))
            ):
                return stage
            self.num_skipped += 1
            self._enter_output(stage, shard, header)
        self._finished.add(shard)
        # Millions of shards: of one that is done a name is kept, and what is counted.
        self._contents.pop(shard, None)
        return None

    def finish(self, stage: Stage, shard: str, header: ShardHeader) -> Stage | None:
        """Enter an output that was just written; returns what the shard has to go through next, if anything."""
        self._enter_output(stage, shard, header)
        following = self.next_stage(shard)
        if following is None:
            self.num_new_texts += self._num_texts[shard]
        return following

    def give_up(self, stage: Stage, shard: str) -> None:
        """Enter that a shard could not be done."""
        self.failed[stage.name].add(shard)

    @property
    def shards(self) -> Sequence[str]:
        """All shards that were admitted, in the order in which they came."""
        return list(self.documents)

    @property
    def num_failed(self) -> int:
        """Shards given up, at any stage."""
        return sum(map(len, self.failed.values()))

    @property
    def num_open(self) -> int:
        """Shards that still have a way to go."""
        return len(self.documents) - len(self._finished) - self.num_failed

    @property
    def num_texts(self) -> int:
        """Texts in the shards that were admitted."""
        return self.counts[self._ingest][ROWS]

    @property
    def num_finished_texts(self) -> int:
        """Texts in the shards that are through all stages."""
        return sum(self._num_texts[shard] for shard in self._finished)

    @property
    def ingest_fingerprint(self) -> str:
        """Of the stage that makes the shards."""
        return self._stage_fingerprints[self._ingest]

    def total(self, name: Count) -> int:
        """One count over all stages and done shards."""
        return sum(counts[name] for counts in self.counts.values())

    def _header(self, stage: Stage, shard: str) -> ShardHeader | None:
        return self.headers.get(stage.table, {}).get(shard)

    def _enter_output(self, stage: Stage, shard: str, header: ShardHeader) -> None:
        self._contents[shard][stage.table] = header.content
        self._enter(stage.name, shard, header.counts)

    def _enter(self, stage: str, shard: str, counts: Mapping[Count, int]) -> None:
        self.done[stage].add(shard)
        self.counts[stage].update(counts)
