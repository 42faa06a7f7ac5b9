"""What is done and what is to do: the driver's ledger of the shards of a run. It knows neither Ray nor time.

The fingerprint of an output is that of its stage's settings, hashed with the content of what the stage reads. An output
is done if its header has the fingerprint that the ledger expects; so if a stage is made again with the same rows, the
stages after it stay as they are.
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
    """The ledger of one run. The first stage of the pipeline makes the shards."""

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
        self._ingest = pipeline[0]
        self._stage_fingerprints = stage_fingerprints
        self._tool_fingerprints = tool_fingerprints
        self.ask_again = ask_again
        """Statuses of calls that are asked again although their shard is done. If any, broken rows are tried again."""
        self.headers = headers
        """Per table, the headers that were there when the run was opened."""
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
        """Failed attempts of this run that were repeated, per stage."""
        self.counts: dict[str, Counter[Count]] = {stage.name: Counter() for stage in pipeline}
        """The counts of all done shards, per stage."""
        self.num_new_texts = 0
        """Texts that passed their last stage in this run, not in an earlier one."""

    def admit(self, shard: str, documents: ShardHeader) -> Stage | None:
        """Enter a shard of documents. Returns the first stage that it has to go through, None if all are done."""
        self.documents[shard] = documents.fingerprint
        self._contents[shard] = {}
        self._num_texts[shard] = documents.counts[ROWS]
        self._enter(self._ingest, shard, documents)
        return self.next_stage(shard)

    def expected(self, stage: Stage, shard: str) -> Expected:
        """What the output of this stage for this shard has to be made from; the tables that it reads must be done."""
        contents = self._contents[shard]
        tools = self._tool_fingerprints.get(stage.name, {})
        read = [contents[record.table] for record in stage.reads]
        return Expected(
            fingerprint=fingerprint(self._stage_fingerprints[stage.name], read),
            parts={tool: fingerprint(made_by, contents[self._ingest.table]) for tool, made_by in tools.items()},
            made_by=tools,
        )

    def may_reuse(self, stage: Stage, shard: str) -> bool:
        """Whether an output for other settings may hold all that is needed, so that nothing has to be computed."""
        header, expected = self._header(stage, shard), self.expected(stage, shard)
        return bool(
            header
            and header.fingerprint != expected.fingerprint
            and expected.parts
            and expected.parts.items() <= header.parts.items()
        )

    def next_stage(self, shard: str) -> Stage | None:
        """The first stage that is not done. Stages before it whose output is there are entered as done."""
        for stage in self.pipeline[1:]:
            if shard in self.done[stage.name]:
                continue
            header = self._header(stage, shard)
            if header is None or self._is_to_do(stage, shard, header):
                return stage
            self.num_skipped += 1
            self._enter(stage, shard, header)
        self._finished.add(shard)
        # Since there may be millions of shards, only the name and the counts of a finished one are kept.
        self._contents.pop(shard, None)
        return None

    def finish(self, stage: Stage, shard: str, header: ShardHeader) -> Stage | None:
        """Enter an output that was just written. Returns the next stage of the shard, None if all are done."""
        self._enter(stage, shard, header)
        following = self.next_stage(shard)
        if following is None:
            self.num_new_texts += self._num_texts[shard]
        return following

    def give_up(self, stage: Stage, shard: str) -> None:
        """Enter that a shard has failed."""
        self.failed[stage.name].add(shard)

    @property
    def shards(self) -> Sequence[str]:
        """All shards that were admitted, in the order in which they came."""
        return list(self.documents)

    @property
    def num_failed(self) -> int:
        """Shards that were given up, at any stage."""
        return sum(map(len, self.failed.values()))

    @property
    def num_open(self) -> int:
        """Shards that are neither finished nor given up."""
        return len(self.documents) - len(self._finished) - self.num_failed

    @property
    def num_texts(self) -> int:
        """Texts in the shards that were admitted."""
        return self.counts[self._ingest.name][ROWS]

    @property
    def num_finished_texts(self) -> int:
        """Texts in the shards that have passed all stages."""
        return sum(self._num_texts[shard] for shard in self._finished)

    @property
    def ingest_fingerprint(self) -> str:
        """The fingerprint of the stage that makes the shards."""
        return self._stage_fingerprints[self._ingest.name]

    def total(self, name: Count) -> int:
        """A count, summed over all stages and done shards."""
        return sum(counts[name] for counts in self.counts.values())

    def _header(self, stage: Stage, shard: str) -> ShardHeader | None:
        return self.headers.get(stage.table, {}).get(shard)

    def _is_to_do(self, stage: Stage, shard: str, header: ShardHeader) -> bool:
        if header.fingerprint != self.expected(stage, shard).fingerprint:
            return True
        is_tried_again = num_with_status(header.counts, self.ask_again) or num_broken(header.counts)
        return bool(self.ask_again and is_tried_again)

    def _enter(self, stage: Stage, shard: str, header: ShardHeader) -> None:
        self._contents[shard][stage.table] = header.content
        self.done[stage.name].add(shard)
        self.counts[stage.name].update(header.counts)
