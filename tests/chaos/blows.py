"""What is done to a run, and when: drawn from a seed, so that a run that went wrong can be had again."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    *("worker", "tool worker", "raylet", "machine", "driver SIGKILL", "driver SIGTERM"),
    *("tools hang", "tools crash", "tools garbage", "tools down"),
]
STAGES_OF_WORKERS = ("ingest", "propose", "score", "interleave")
TROUBLES = {"tools hang": "hang", "tools crash": "crash", "tools garbage": "garbage", "tools down": "down"}
"""Blows that kill nothing, and the trouble of `tests.simulation.tools` that each is."""
LONG: Mapping[Kind, int] = {
    "worker": 12,
    "tool worker": 6,
    "raylet": 3,
    "machine": 4,
    "driver SIGKILL": 5,
    "driver SIGTERM": 4,
    "tools hang": 2,
    "tools crash": 2,
    "tools garbage": 2,
    "tools down": 2,
}
"""34 kills, and tools in trouble eight times."""
SHORT: Mapping[Kind, int] = {
    "worker": 2,
    "tool worker": 1,
    "machine": 1,
    "driver SIGKILL": 1,
    "driver SIGTERM": 1,
    "tools garbage": 1,
    "tools down": 1,
}


@dataclass(frozen=True, kw_only=True)
class Blow:
    """One thing that is done to the run."""

    kind: Kind
    after: int
    """It is due when so many shards have been written, all tables together."""
    stage: str | None = None
    """What a worker that is killed has to have in hand; None where it does not matter."""

    @property
    def is_kill(self) -> bool:
        """Whether a process dies of it."""
        return self.kind not in TROUBLES


def plan(seed: int, numbers: Mapping[Kind, int], num_outputs: int) -> list[Blow]:
    """So many blows of each kind, in random order, spread evenly over a run that writes so many shards."""
    chance = random.Random(seed)
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    chance.shuffle(kinds)
    step = 0.9 * num_outputs / len(kinds)
    stages = _stages(chance, numbers["worker"])
    return [
        Blow(kind=kind, after=int((number + chance.random()) * step), stage=stages.pop() if kind == "worker" else None)
        for number, kind in enumerate(kinds)
    ]


def _stages(chance: random.Random, number: int) -> list[str]:
    """All stages equally often; the corpus is read first, so what is taken last comes first."""
    stages = [STAGES_OF_WORKERS[n % len(STAGES_OF_WORKERS)] for n in range(number)]
    others = [stage for stage in stages if stage != "ingest"]
    chance.shuffle(others)
    return others + ["ingest"] * (len(stages) - len(others))
