"""Deals out the blows of a plan while a run goes on, and starts its driver again as often as it takes."""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from tests.chaos.arena import Arena, InHand, num_outputs, wait_until
from tests.chaos.blows import TROUBLES, Blow

# A shard takes half a second: where none of the wanted stage is begun by then, all of them are written.
SECONDS_TO_FIND_A_VICTIM = 1.0
CALLS_TO_HIT = 20
MAX_STARTS_IN_VAIN = 5


@dataclass
class Dealt:
    """What was done, and whom it hit."""

    blow: Blow
    in_flight: list[InHand]
    """What the dead had in hand."""
    processes: set[int]
    """Workers that this blow ended, or will."""


@dataclass
class Killer:
    """Deals one plan out to one run."""

    arena: Arena
    blows: list[Blow]
    dealt: list[Dealt] = field(default_factory=list)
    num_starts: int = 0
    exits: list[int] = field(default_factory=list)
    """Exit codes of all drivers."""

    def run(self) -> None:
        """Until every blow is dealt and the run has ended well. Raises TimeoutError if it does not get on."""
        self._start()
        for blow in self.blows:
            self._wait_for(blow)
            self.dealt.append(self._deal(blow))
        while self._driver.wait(timeout=600) != 0:
            self._restart()
        self.exits.append(0)

    def _wait_for(self, blow: Blow) -> None:
        def is_due() -> bool:
            if (code := self._driver.poll()) is not None:
                if code == 0:
                    raise AssertionError(f"the run has ended before {blow}")
                self._restart()
            return num_outputs(self.arena.run) >= blow.after and bool(self.arena.in_hand())

        wait_until(is_due, f"{blow}")

    def _deal(self, blow: Blow) -> Dealt:
        if blow.kind in TROUBLES:
            return self._trouble(blow)
        if blow.kind in ("worker", "tool worker"):
            return self._kill_worker(blow)
        if blow.kind in ("raylet", "machine"):
            return self._kill_node(blow)
        held, workers = wait_until(self.arena.in_hand, f"{blow}"), set(self.arena.workers())
        self._driver.send_signal(signal.SIGKILL if blow.kind == "driver SIGKILL" else signal.SIGTERM)
        self._driver.wait(60)
        self._restart()
        return Dealt(blow, held, workers)

    def _kill_worker(self, blow: Blow) -> Dealt:
        def is_wanted(held: InHand) -> bool:
            if blow.kind == "tool worker":
                return held.needs == "tools"
            return held.needs != "tools" and (held.stage == blow.stage or monotonic() > deadline)

        deadline = monotonic() + SECONDS_TO_FIND_A_VICTIM
        while True:
            victim, *others = wait_until(lambda: self._is_up() and self.arena.freeze(is_wanted), f"a victim of {blow}")
            for other in others:
                _send(other.process, signal.SIGCONT)
            # The driver may have ended, and all its workers with it, after they were frozen.
            if _send(victim.process, signal.SIGKILL):
                return Dealt(blow, [victim], {victim.process})

    def _kill_node(self, blow: Blow) -> Dealt:
        nodes = [node.node_id for node in self.arena.cluster.worker_nodes]
        frozen = wait_until(lambda: self._is_up() and self.arena.freeze(lambda held: held.node in nodes), f"{blow}")
        node = frozen[0].node
        workers = {process for process, line in self.arena.workers().items() if line["node"] == node}
        with_workers = blow.kind == "machine"
        for held in frozen:
            if held.node != node or not with_workers:
                _send(held.process, signal.SIGCONT)
        self.arena.kill_node(node, with_workers=with_workers)
        return Dealt(blow, [held for held in frozen if held.node == node], workers)

    def _trouble(self, blow: Blow) -> Dealt:
        before = self.arena.trouble.num_felt
        self.arena.trouble.begin(TROUBLES[blow.kind])  # type: ignore[arg-type]
        enough = before + CALLS_TO_HIT
        wait_until(lambda: self._is_up() and self.arena.trouble.num_felt >= enough, f"{blow} to be felt")
        self.arena.trouble.end()
        return Dealt(blow, [], set())

    def _is_up(self) -> bool:
        """True; if the driver has ended because shards failed, only after it was started again."""
        if self._driver.poll() is not None:
            self._restart()
        return True

    @property
    def _driver(self) -> subprocess.Popen[bytes]:
        assert self.arena.driver
        return self.arena.driver

    def _start(self) -> None:
        self.num_starts += 1
        self.arena.start_driver()

    def _restart(self) -> None:
        code = self._driver.returncode
        self.exits.append(code)
        if code not in (1, 143, -signal.SIGKILL):
            raise AssertionError(f"the driver ended with {code}:\n{self.arena.log.read_text()[-2000:]}")
        if self.exits[-MAX_STARTS_IN_VAIN:] == [1] * MAX_STARTS_IN_VAIN:
            raise AssertionError(f"shards fail again and again:\n{self.arena.log.read_text()[-2000:]}")
        self._start()


def ended_by(dealt: Sequence[Dealt]) -> dict[int, str]:
    """By process, the kind of blow that ended it."""
    return {process: one.blow.kind for one in reversed(dealt) for process in one.processes}


def _send(process: int, number: signal.Signals) -> bool:
    """Send a signal; False if the process is gone."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True
