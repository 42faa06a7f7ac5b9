"""What follows when a call of a worker fails: the retry rule, as a table.

A shard has `max_attempts` attempts at each stage, and MAX_LOSSES losses: it is not to blame if a node is lost, but it
may be what brings its nodes down. Before each retry there is a delay, which doubles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Happened = Literal["row_error", "worker_died", "system_error", "node_lost", "disk_refused", "unusable"]
Cost = Literal["attempt", "loss", "all"]
Verdict = Literal["retry", "isolate", "put_aside", "end_run"]

# What happened: what it costs, what follows once none of these is left.
RULES: Mapping[Happened, tuple[Cost, Verdict]] = {
    "row_error": ("attempt", "isolate"),  # the stage raised an error: find the rows that break it
    "worker_died": ("attempt", "isolate"),  # the worker's process ended: some row may have killed it
    "system_error": ("attempt", "put_aside"),  # a file, a connection, a damaged input: no row is to blame
    "node_lost": ("loss", "put_aside"),  # the worker is gone with its node
    "disk_refused": ("all", "end_run"),  # the run folder is full or read-only
    "unusable": ("all", "end_run"),  # an option or the corpus is wrong: the user has to act
}
MAX_LOSSES = 20
MAX_RETRY_DELAY = 60.0


@dataclass
class Tries:
    """How often something was tried, and how often it may be."""

    max_attempts: int
    retry_delay: float
    """Seconds before the second try."""
    num_attempts: int = 0
    """Tries that failed and cost an attempt."""
    num_losses: int = 0

    def count(self, happened: Happened) -> Verdict:
        """Count a try that failed, and say what follows.

        >>> tries = Tries(max_attempts=2, retry_delay=1.0)
        >>> tries.count("row_error"), tries.count("node_lost"), tries.count("row_error")
        ('retry', 'retry', 'isolate')
        """
        cost, then = RULES[happened]
        self.num_attempts += cost == "attempt"
        self.num_losses += cost == "loss"
        is_left = self.num_attempts < self.max_attempts and self.num_losses < MAX_LOSSES
        return "retry" if is_left and cost != "all" else then

    @property
    def total(self) -> int:
        """How many tries have failed, whatever they cost."""
        return self.num_attempts + self.num_losses

    @property
    def delay(self) -> float:
        """Seconds to wait before the next try."""
        return delay_after(self.total, self.retry_delay)


def delay_after(num_failed: int, first: float) -> float:
    """Seconds to wait after so many failed tries; none before the first.

    >>> [delay_after(number, 1.0) for number in (0, 1, 2, 3, 9)]
    [0.0, 1.0, 2.0, 4.0, 60.0]
    """
    return min(MAX_RETRY_DELAY, first * 2.0 ** (num_failed - 1)) if num_failed else 0.0
