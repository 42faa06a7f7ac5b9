"""What waits in the driver's queues."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from toolformer_ray.workflow.pipeline import Needs, Stage

TrialMethod = Literal["try_rows", "work_without"]
"""Of jobs.driver.actors.ShardActor."""
TrialArgument = Sequence[int] | Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a worker is to do with a shard in place of all its rows (jobs.driver.isolation)."""

    method: TrialMethod
    argument: TrialArgument
    """The rows to try; the rows to leave out, with their errors."""
    answer: asyncio.Future[Any]
    """Who waits: gets what the worker returns, or the error that it or its death ended with."""


@dataclass(order=True, frozen=True)
class Task:
    """A shard that waits for a stage. Sorted: later stages first, then in the order of the corpus."""

    priority: int
    shard: str
    stage: Stage = field(compare=False)
    num_attempts: int = field(default=0, compare=False)
    """How often the shard has failed here, or its worker died over it."""
    num_losses: int = field(default=0, compare=False)
    """How often its worker was lost and another may be to blame: its node, or a shard of the same call."""
    only_reuse: bool = field(default=False, compare=False)
    """Whether a plain worker is to see first if the output for other settings holds all that is needed."""
    trial: Trial | None = field(default=None, compare=False)
    """What is done in place of the stage's work while a shard that failed is split; None for most."""

    @property
    def is_suspect(self) -> bool:
        """Whether it goes alone, so that it takes no other shard with it."""
        return bool(self.num_attempts or self.num_losses or self.trial)

    @property
    def needs(self) -> Needs:
        """The kind of worker that the task is for."""
        return "cpu" if self.only_reuse else self.stage.needs
