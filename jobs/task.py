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
    only_reuse: bool = field(default=False, compare=False)
    """Whether a plain worker is to see first if the output for other settings holds all that is needed."""

    @property
    def needs(self) -> Needs:
        """The kind of worker that the task is for."""
        return "cpu" if self.only_reuse else self.stage.needs
