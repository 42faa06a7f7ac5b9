"""What is done, what is to do: the driver's book about the shards of a run. Knows neither Ray nor time.

The fingerprint of an output is the fingerprint of its stage and of the output that it was made from, down to the
documents. So an output is done if and only if its header carries the fingerprint that the book expects.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from jobs.pipeline import Stage
from records.fingerprint import fingerprint
from records.run_folder import ShardHeader


class Ledger:
    """One run's book; the first stage of the pipeline is the one that makes the shards."""

    def __init__(
        self,
        pipeline: Sequence[Stage],
        stage_fingerprints: Mapping[str, str],
        headers: Mapping[str, Mapping[str, ShardHeader]],
    ) -> None:
        self._stages = pipeline[1:]
        self._ingest = pipeline[0].name
        self._stage_fingerprints = stage_fingerprints
        self.headers = headers
        """Per table, the headers that were there when the book was opened."""
        self.documents: dict[str, str] = {}
        """The fingerprint of each shard of documents that was admitted, in the order of the corpus."""
        self._num_texts: dict[str, int] = {}
        self._finished: set[str] = set()
        self.num_skipped = 0
        """Outputs that were there already."""
        self.done: dict[str, set[str]] = {stage.name: set() for stage in pipeline}
        """Shards done, per stage."""
        self.failed: dict[str, set[str]] = {stage.name: set() for stage in pipeline}
        """Shards given up, per stage."""
        self.counts: dict[str, Counter[str]] = {stage.name: Counter() for stage in pipeline}
        """The counts of all done shards, per stage."""
        self.num_new_texts = 0
        """Texts that this run, not an earlier one, brought to the end."""

    def admit(self, shard: str, documents_fingerprint: str, counts: Mapping[str, int]) -> Stage | None:
        """Enter a shard of documents; returns the first stage that it still has to go through, None if all are done."""
        self.documents[shard] = documents_fingerprint
        self._num_texts[shard] = counts["rows"]
        self._enter(self._ingest, shard, counts)
        return self.next_stage(shard)

    def expected(self, stage: Stage, shard: str) -> str:
        """The fingerprint that this stage's output for this shard has to have."""
        chain = self.documents[shard]
        for earlier in self._stages:
            chain = fingerprint(self._stage_fingerprints[earlier.name], chain)
            if earlier is stage:
                return chain
        raise KeyError(stage.name)

    def next_stage(self, shard: str) -> Stage | None:
        """The first stage that is not done; stages whose output is there are entered as done on the way."""
        for stage in self._stages:
            if shard in self.done[stage.name]:
                continue
            header = self.headers.get(stage.writes, {}).get(shard)
            if header is None or header.fingerprint != self.expected(stage, shard):
                return stage
            self.num_skipped += 1
            self._enter(stage.name, shard, header.counts)
        self._finished.add(shard)
        return None

    def finish(self, stage: Stage, shard: str, counts: Mapping[str, int]) -> Stage | None:
        """Enter an output that was just written; returns what the shard has to go through next, if anything."""
        self._enter(stage.name, shard, counts)
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
        return self.counts[self._ingest]["rows"]

    @property
    def num_finished_texts(self) -> int:
        """Texts in the shards that are through all stages."""
        return sum(self._num_texts[shard] for shard in self._finished)

    @property
    def ingest_fingerprint(self) -> str:
        """Of the stage that makes the shards."""
        return self._stage_fingerprints[self._ingest]

    def total(self, name: str) -> int:
        """One count over all stages and done shards."""
        return sum(counts[name] for counts in self.counts.values())

    def _enter(self, stage: str, shard: str, counts: Mapping[str, int]) -> None:
        self.done[stage].add(shard)
        self.counts[stage].update(counts)
