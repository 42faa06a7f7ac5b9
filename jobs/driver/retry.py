"""What follows when a call of a worker fails: the retry rule, as a table.

| what happened                                     | costs       | once none is left     |
|---------------------------------------------------|-------------|-----------------------|
| `row_error`: the stage raised an error            | an attempt  | isolate broken rows   |
| `worker_died`: the worker's process ended         | an attempt  | isolate broken rows   |
| `system_error`: a file, a connection, a bad input | an attempt  | put the shard aside   |
| `node_lost`: the worker is gone with its node     | a loss      | put the shard aside   |
| `disk_refused`: the run folder cannot be written  | all         | end the run           |
| `unusable`: an option or the corpus is wrong      | all         | end the run           |

A shard has `max_attempts` attempts at each stage and MAX_LOSSES losses: it is not to blame for the loss of a node, but
may be what brings its nodes down. Before each retry there is a delay, which doubles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Happened = Literal["row_error", "worker_died", "system_error", "node_lost", "disk_refused", "unusable"]
Verdict = Literal["retry", "isolate", "put_aside", "end_run"]

MAX_LOSSES = 20
MAX_RETRY_DELAY = 60.0


@dataclass(frozen=True)
class Rule:
    """One line of the table."""

    costs: Literal["attempt", "loss", "all"]
    then: Verdict


RULES: Mapping[Happened, Rule] = {
    "row_error": Rule("attempt", "isolate"),
    "worker_died": Rule("attempt", "isolate"),
    "system_error": Rule("attempt", "put_aside"),
    "node_lost": Rule("loss", "put_aside"),
    "disk_refused": Rule("all", "end_run"),
    "unusable": Rule("all", "end_run"),
}


@dataclass
class Tries:
    """How often something was tried, and how often it may be."""

    max_attempts: int
    retry_delay: float
    """Seconds before the second try."""
    num_attempts: int = 0
    """Tries that failed and count."""
    num_losses: int = 0
    """Tries that came to nothing because a node was lost."""

    def count(self, happened: Happened) -> Verdict:
        """Count a try that failed, and say what follows.

        >>> tries = Tries(max_attempts=2, retry_delay=1.0)
        >>> tries.count("row_error"), tries.count("node_lost"), tries.count("row_error")
        ('retry', 'retry', 'isolate')
        """
        rule = RULES[happened]
        self.num_attempts += rule.costs == "attempt"
        self.num_losses += rule.costs == "loss"
        is_left = self.num_attempts < self.max_attempts and self.num_losses < MAX_LOSSES
        return "retry" if is_left and rule.costs != "all" else rule.then

    @property
    def total(self) -> int:
        """How many tries have failed, whatever they cost."""
        return self.num_attempts + self.num_losses

    @property
    def delay(self) -> float:
        """Seconds to wait before the next try."""
        return retry_delay(self.retry_delay, self.total)


def retry_delay(first: float, num_failed: int) -> float:
    """Seconds to wait after so many failed tries; none before the first.

    >>> [retry_delay(1.0, number) for number in (0, 1, 2, 3, 9)]
    [0.0, 1.0, 2.0, 4.0, 60.0]
    """
    return min(MAX_RETRY_DELAY, first * 2.0 ** (num_failed - 1)) if num_failed else 0.0
