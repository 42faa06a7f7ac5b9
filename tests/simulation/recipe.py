"""A model and tools that take their time and nothing else: the recipe of `tests.simulation.simulate`.

Workers sleep as long as a model or a tool would take, divided by `speedup`, and make the rows of
`tests.simulation.rows`. So a laptop can be a cluster: what is real is the driver, Ray, the actors and the files.
"""

import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from tests.simulation.journal import Journal
from tests.simulation.rows import PROFILES, draw, execute, interleaved, make_document, normal, propose, score
from tests.simulation.tools import Trouble, open_executor
from toolformer_ray.annotate.execute import execute as ask_tools
from toolformer_ray.records.stages import Document, Dropped, Scored
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.workflow.pipeline import Needs
from toolformer_ray.workflow.shard.work import Compute, StageOutput


@dataclass(frozen=True, kw_only=True)
class ServiceTimes:
    """Seconds for each text, on the hardware that is simulated; a shard's own is log-normal around them."""

    propose: float = 0.025
    """912 tokens a text (make bench, 150 tokens) through 6e9 parameters at 45 % of 1e15 operations a second."""
    execute: float = 0.033
    """5.35 calls of 50 ms, 8 in flight."""
    score: float = 0.075
    """2,762 tokens a text, as above."""
    ingest: float = 0.0
    """None: this program reads and cuts by itself, and does it here too."""
    interleave: float = 0.0
    """None, as above."""
    spread: float = 0.5
    """The standard deviation of a shard's logarithm."""
    speedup: float = 1.0
    """How many times faster the simulated clock runs."""

    def __post_init__(self) -> None:
        if self.speedup <= 0:
            raise ValueError(f"speedup is {self.speedup}; it must be more than 0")

    def seconds(self, stage: str, shard: int, num_texts: int, seed: int) -> float:
        """How long a worker has a shard at a stage."""
        first, second, *_ = draw(seed, "seconds", stage, shard)
        factor = math.exp(self.spread * normal(first, second) - self.spread**2 / 2)
        return float(getattr(self, stage) * num_texts * factor / self.speedup)


@dataclass(frozen=True, kw_only=True)
class SimulatedRecipe:
    """So many texts in so many shards."""

    num_texts: int
    shard_size: int
    seed: int = 0
    times: ServiceTimes = field(default_factory=ServiceTimes)
    journal: Journal | None = None
    """Where every attempt is written down."""
    trouble: Trouble | None = None
    """Where it is said which tool is in trouble. With it every call is asked for itself, by the real executor."""

    def ingest(self, _: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        """The corpus, cut into shards."""
        for start in range(0, self.num_texts, self.shard_size):
            numbers = range(start, min(start + self.shard_size, self.num_texts))
            shard = start // self.shard_size
            if self.journal:
                self.journal.note("read", stage="ingest", shard=shard)
            time.sleep(self.times.seconds("ingest", shard, len(numbers), self.seed))
            yield [make_document(self.seed, number) for number in numbers], []

    def open(self, needs: Needs) -> Compute:
        """A worker of a kind."""
        if self.journal:
            self.journal.note("open", needs=needs, node=ray.get_runtime_context().get_node_id())
        return _Simulation(self, open_executor(self.trouble, self.seed) if self.trouble and needs == "tools" else None)

    def judge(self, row: Scored) -> Scored:
        """The verdict stands."""
        return row

    @property
    def num_shards(self) -> int:
        """Into how many shards the corpus is cut."""
        return math.ceil(self.num_texts / self.shard_size)

    @property
    def tool_names(self) -> list[str]:
        """As they are written in calls."""
        return [profile.name for profile in PROFILES.values()]


class _Simulation:
    """What one worker does."""

    def __init__(self, recipe: SimulatedRecipe, executor: ToolExecutor | None) -> None:
        self._recipe, self._executor = recipe, executor

    def __call__(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        recipe, documents = self._recipe, inputs[-1]
        shard = int(documents[0].doc_id) // recipe.shard_size
        if recipe.journal:
            recipe.journal.note("begin", stage=stage, shard=shard)
        seconds = recipe.times.seconds(stage, shard, len(documents), recipe.seed)
        time.sleep(0.0 if self._executor else seconds)
        if recipe.trouble:
            recipe.trouble.wait()
        output = self._rows(stage, inputs, tools)
        if recipe.journal:
            recipe.journal.note("end", stage=stage, shard=shard, seconds=seconds)
        return output

    def _rows(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        seed = self._recipe.seed
        if stage == "propose":
            return propose(seed, inputs[0], tools)
        if stage == "execute":
            return (ask_tools(inputs[0], inputs[1], self._executor), []) if self._executor else execute(seed, inputs[0])
        return score(seed, inputs[0]) if stage == "score" else interleaved(*inputs)
