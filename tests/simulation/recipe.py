"""A model and tools that take their time and nothing else: the recipe of `tests.simulation.simulate`.

Workers sleep as long as a model or a tool would take, divided by `speedup`, and make the rows of
`tests.simulation.rows`. So a laptop can be a cluster: what is real is the driver, Ray, the actors and the files.
"""

import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from tests.simulation.journal import Journal
from tests.simulation.rows import BY_NAME, execute, log_normal, make_document, propose, score
from tests.simulation.tools import Trouble, open_executor
from toolformer_ray.annotate.execute import execute as ask_tools
from toolformer_ray.filter.interleave import interleave
from toolformer_ray.records.stages import Document, Dropped
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.workflow.shard.reuse import StageOutput
from toolformer_ray.workflow.shard.stage import Needs

SECONDS_PER_TEXT = {"propose": 0.025, "execute": 0.033, "score": 0.075}
"""On the hardware that is simulated. The model: 912 tokens a text to propose (make bench, 150 tokens) and 2,762 to
score, through 6e9 parameters, at 45 % of 1e15 operations a second. The tools: 5.35 calls of 50 ms, 8 in flight."""
SPREAD = 0.5
"""The standard deviation of the logarithm of a shard's time."""


@dataclass(frozen=True, kw_only=True)
class SimulatedRecipe:
    """So many texts in so many shards."""

    num_texts: int
    shard_size: int
    seed: int = 0
    speedup: float = 1.0
    """How many times faster than that hardware the workers are."""
    file_seconds: float = 0.0
    """For each text that is read or put together, which this program does by itself, divided by speedup too."""
    tools: Sequence[str] = tuple(BY_NAME)
    """As they are written in calls. With none all stages find nothing, the normal case of a text."""
    journal: Journal | None = None
    """Where every attempt is written down."""
    trouble: Trouble | None = None
    """Where it is said which tool is in trouble. With it every call is asked for itself, by the real executor."""

    def open(self, needs: Needs) -> "SimulatedStages":
        """A worker of a kind."""
        if self.journal:
            self.note("open", needs=needs, node=ray.get_runtime_context().get_node_id())
        is_asked = self.trouble and needs == "tools"
        return SimulatedStages(self, open_executor(self.trouble, self.seed) if is_asked else None)

    def seconds(self, stage: str, shard: int, num_texts: int) -> float:
        """How long a worker has a shard at a stage: log-normal, with the stage's time as the mean."""
        factor = log_normal(SPREAD, self.seed, "seconds", stage, shard) / math.exp(SPREAD**2 / 2)
        return SECONDS_PER_TEXT.get(stage, self.file_seconds) * num_texts * factor / self.speedup

    def note(self, what: str, **details: object) -> None:
        """Add a line to the journal, if there is one."""
        if self.journal:
            self.journal.note(what, **details)


@dataclass(frozen=True)
class SimulatedStages:
    """What one worker does."""

    recipe: SimulatedRecipe
    executor: ToolExecutor | None

    def ingest(self, _: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        """The corpus, cut into shards."""
        recipe = self.recipe
        for shard, start in enumerate(range(0, recipe.num_texts, recipe.shard_size)):
            numbers = range(start, min(start + recipe.shard_size, recipe.num_texts))
            recipe.note("read", stage="ingest", shard=shard)
            time.sleep(recipe.seconds("ingest", shard, len(numbers)))
            yield [make_document(recipe.seed, number) for number in numbers], []

    def compute(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        """A shard at a stage."""
        recipe, documents = self.recipe, inputs[-1]
        shard = int(documents[0].doc_id) // recipe.shard_size
        recipe.note("begin", stage=stage, shard=shard)
        seconds = recipe.seconds(stage, shard, len(documents))
        time.sleep(0.0 if self.executor else seconds)
        if recipe.trouble:
            recipe.trouble.wait()
        output = self._rows(stage, inputs, tools)
        recipe.note("end", stage=stage, shard=shard, seconds=seconds)
        return output

    def _rows(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        seed, rows = self.recipe.seed, inputs[0]
        if stage == "propose":
            return propose(seed, rows, tools)
        if stage == "interleave":
            return interleave(rows, inputs[1])
        if stage == "score":
            return [score(seed, call) for call in rows], []
        if self.executor:
            return ask_tools(rows, inputs[1], self.executor), []
        return [execute(seed, call) for call in rows], []
