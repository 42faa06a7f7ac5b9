"""What an endpoint has answered for a run, kept as it comes: no request that was answered is sent twice.

    RUN/proposer/<hash of the request>.json    the request's name and what was read from its answer

A file is renamed when it is whole, so a kill costs at most the requests in flight. A file that does not match its name
counts as missing. The endpoint's address is no part of a request's name: a server may move. A request that failed for
a reason of the moment is not kept.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from toolformer_ray.annotate.endpoint.client import Fault
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder

FOLDER = "proposer"


class BudgetSpentError(OSError):
    """The endpoint has answered as many requests as it may. An OSError, so that no text is blamed for it."""


class Answered:
    """The answers in one run folder. Safe for threads; the budget counts what one process sends and what is kept."""

    def __init__(self, run: RunFolder | None, budget: int | None) -> None:
        """Without a run folder answers are kept in memory, for an estimate."""
        self._run, self._budget = run, budget
        self._in_memory: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._num_taken = len(run.shards(FOLDER, ".json")) if run and budget is not None else 0

    def ask(self, path: str, body: Mapping[str, Any], send: Callable[[], Any]) -> Any:
        """The answer to a request: a JSON value, or a Fault. It is sent only if it was not answered before.

        Raises BudgetSpentError, and whatever `send` raises.
        """
        name = fingerprint(path, body)
        kept = self._read(name)
        if kept is not None:
            return Fault(kept["fault"]) if kept["fault"] else kept["answer"]
        self._take()
        try:
            answer = send()
        except BaseException:
            self._give_back()
            raise
        if isinstance(answer, Fault) and not answer.is_final:
            self._give_back()
            return answer
        fault = answer.told if isinstance(answer, Fault) else None
        self._write(name, {"name": name, "fault": fault, "answer": None if fault else answer})
        return answer

    def _write(self, name: str, entry: Mapping[str, Any]) -> None:
        if self._run is None:
            self._in_memory[name] = entry
        else:
            self._run.write_json(f"{FOLDER}/{name}.json", entry)

    def _read(self, name: str) -> Any:
        if self._run is None:
            return self._in_memory.get(name)
        try:
            kept = self._run.read_json(f"{FOLDER}/{name}.json")
        except ValueError:
            return None
        is_whole = isinstance(kept, dict) and kept.get("name") == name and {"fault", "answer"} <= kept.keys()
        return kept if is_whole else None

    def _take(self) -> None:
        if self._budget is None:
            return
        with self._lock:
            if self._num_taken >= self._budget:
                raise BudgetSpentError(
                    f"the proposer's budget of {self._budget:,} requests is spent; raise `proposer_budget` and run the "
                    "same command again to go on"
                )
            self._num_taken += 1

    def _give_back(self) -> None:
        with self._lock:
            self._num_taken -= 1
