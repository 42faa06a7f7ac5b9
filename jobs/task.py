"""What waits in the driver's queues."""

from dataclasses import dataclass, field

from jobs.pipeline import Needs, Stage


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

    @property
    def is_suspect(self) -> bool:
        """Whether it goes alone, so that it takes no other shard with it."""
        return bool(self.num_attempts or self.num_losses)

    @property
    def needs(self) -> Needs:
        """The kind of worker that the task is for."""
        return "cpu" if self.only_reuse else self.stage.needs
