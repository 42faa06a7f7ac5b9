"""Runs calls: a time limit each, many in flight, equal calls once, and a status for whatever comes of them.

A pool lives as long as its worker and remembers, per tool, how it has been doing. Every tool has its own threads,
`max_in_flight` of them (one, if the tool answers one call at a time), so that a hanging tool holds up neither the
other tools nor, as all threads are daemons, the end of the process.

Not covered: a call that never gives up Python's interpreter lock, or that takes the process down.
"""

import datetime
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from toolformer_ray.tools.asking.answer_store import AnswerStore
from toolformer_ray.tools.asking.lane import Lane
from toolformer_ray.tools.asking.outcome import FACTS, Call, Outcome
from toolformer_ray.tools.asking.standing import Standing
from toolformer_ray.tools.tool import Tool

FIRST_RETRY_DELAY = 1.0


class ToolPool:
    """Runs calls of the given tools, which have to be open unless the store replays a recording.

    `tools` is keyed by the name written in calls. One batch at a time: `run` is not for several threads.
    """

    def __init__(
        self, tools: Mapping[str, Tool], store: AnswerStore | None = None, *, first_delay: float = FIRST_RETRY_DELAY
    ) -> None:
        self._tools = dict(tools)
        self._store = store
        self._first_delay = first_delay
        self._standings = {name: Standing(tool) for name, tool in self._tools.items()}
        self._progress = threading.Condition()

    def run(self, calls: Iterable[tuple[str, str, datetime.date | None]]) -> list[Outcome]:
        """The outcome of every (tool, call_input, today), in order. Of equal calls the first is run, the others copy.

        Raises KeyError for a tool that the pool does not have, and OSError if a recording cannot be read or written.
        """
        asked = [
            Call(name, call_input, today if self._tools[name].reads_today else None)
            for name, call_input, today in calls
        ]
        distinct = list(dict.fromkeys(asked))
        outcomes = self._look_up(distinct)
        outcomes |= self._ask([call for call in distinct if call not in outcomes])
        return list(_copied_where_equal(asked, outcomes))

    def _look_up(self, calls: Iterable[Call]) -> dict[Call, Outcome]:
        return self._store.look_up({call: self._tools[call.tool] for call in calls}) if self._store else {}

    def _ask(self, calls: Iterable[Call]) -> dict[Call, Outcome]:
        by_tool: dict[str, list[Call]] = {}
        for call in calls:
            by_tool.setdefault(call.tool, []).append(call)
        lanes = {name: self._lane(name) for name in by_tool}
        with self._progress:
            for name, lane in lanes.items():
                lane.start(by_tool[name])
            while unfinished := [lane for lane in lanes.values() if not lane.is_done]:
                self._progress.wait(min(lane.seconds_to_deadline() for lane in unfinished))
                for lane in unfinished:
                    lane.give_up_overdue()
        outcomes = {call: outcome for lane in lanes.values() for call, outcome in lane.outcomes.items()}
        for call, outcome in outcomes.items():
            if outcome.status not in FACTS:
                self._keep(call, outcome)
        if self._store:
            self._store.check()
        return outcomes

    def _lane(self, name: str) -> Lane:
        return Lane(self._tools[name], self._standings[name], self._progress, self._keep, self._first_delay)

    def _keep(self, call: Call, outcome: Outcome) -> None:
        if self._store:
            self._store.keep(call, self._tools[call.tool], outcome)


def _copied_where_equal(asked: Iterable[Call], outcomes: Mapping[Call, Outcome]) -> Iterable[Outcome]:
    seen: set[Call] = set()
    for call in asked:
        outcome = outcomes[call]
        yield replace(outcome, seconds=0.0, from_cache=True) if call in seen else outcome
        seen.add(call)
