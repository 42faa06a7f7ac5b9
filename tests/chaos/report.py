"""What a run with blows came to: is every repetition explained by a blow, are the rows those of an undisturbed run?"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.killer import Killer, ended_by
from tests.simulation.journal import Attempt, attempts


@dataclass(frozen=True, kw_only=True)
class Account:
    """The computations of a run."""

    num_attempts: int
    num_shards: int
    """Distinct (stage, shard)."""
    lost: Counter[str]
    """Computations that were done again, by the blow that ended the worker."""
    unexplained: list[Attempt]
    """Computations that were done again although no blow ended the worker, or it had gone on to other shards."""
    num_workers: int
    """Workers that were opened."""


def take_account(killer: Killer) -> Account:
    """Read the journal of a run that has ended."""
    lines, blow_of = killer.arena.journal.read(), ended_by(killer.dealt)
    made = list(attempts(lines))
    again = list(_done_again(made))
    return Account(
        num_attempts=len(made),
        num_shards=len({(attempt.stage, attempt.shard) for attempt in made}),
        lost=Counter(blow_of[attempt.process] for attempt in again if attempt.process in blow_of),
        unexplained=[attempt for attempt in again if not attempt.is_last or attempt.process not in blow_of],
        num_workers=sum(line["what"] == "open" for line in lines),
    )


def describe(killer: Killer, account: Account) -> str:
    """The figures, one a line."""
    kills = [dealt for dealt in killer.dealt if dealt.blow.is_kill]
    felt = sum(bool(dealt.in_flight) for dealt in kills)
    by_kind = Counter(dealt.blow.kind for dealt in killer.dealt)
    stages = Counter(held.stage for dealt in kills for held in dealt.in_flight)
    on_nodes = [dealt for dealt in kills if dealt.blow.kind in ("raylet", "machine")]
    lost_on_nodes = account.lost["raylet"] + account.lost["machine"]
    return "\n".join(
        [
            f"kills: {len(kills)}, of which {felt} hit a shard in flight; tools in trouble "
            f"{len(killer.dealt) - len(kills)} times, {killer.arena.trouble.num_felt} calls hit",
            f"by kind: {_listed(by_kind)}",
            f"shards in flight on what was killed, by stage: {_listed(stages)}",
            f"drivers: {killer.num_starts}, ended with {_listed(Counter(map(str, killer.exits)))}; "
            f"workers opened: {account.num_workers}",
            f"computations: {account.num_attempts:,} for {account.num_shards:,} shards and stages, "
            f"{sum(account.lost.values())} done again, by what ended their worker: {_listed(account.lost)}",
            f"nodes killed: {len(on_nodes)}, with {sum(len(dealt.processes) for dealt in on_nodes)} workers, of which "
            f"{sum(len(dealt.in_flight) for dealt in on_nodes)} had a shard in hand when the node was chosen; computed "
            f"again: {lost_on_nodes}, at most one a worker",
            f"done again without having been in the hands of one that was killed: {len(account.unexplained)}",
        ]
    )


def _done_again(made: list[Attempt]) -> Iterator[Attempt]:
    """All attempts at a shard and stage but the last."""
    last = {(attempt.stage, attempt.shard): attempt for attempt in made}
    return (attempt for attempt in made if last[attempt.stage, attempt.shard] is not attempt)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counts.items())) or "none"
