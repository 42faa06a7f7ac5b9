"""Which rows of an earlier output still hold after settings have changed: tool by tool, and call by call.

A shard's footer tells per tool what its rows were made from. Where that is unchanged, a tool's proposals are taken as
they are; a call's answer is, if the call is proposed again; its losses are, if it has the same answer too, and the
verdict is spoken anew. So another tau_f moves no text through the model, another tool asks nothing of the others, and
what is asked again changes only what comes of the new answer. The rows are those of a run that begins afresh.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Candidate, Document, Dropped, Executed, Scored

StageOutput = tuple[Sequence[Record], Sequence[Dropped]]
"""The rows that go on, and what left the flow."""
Compute = Callable[[str, Sequence[list[Any]], Collection[str]], StageOutput]
"""(stage name, the rows of each table that the stage reads, names of the tools that are wanted) -> its output.

Stages of calls give one row for each row of the first table, in order."""
Judge = Callable[[Scored], Scored | None]
"""The row with the verdict of today's settings; None where losses have to be computed again to tell."""

UNANSWERED = ("timeout", "unavailable", "crashed")
"""Statuses of calls that may be answered when they are asked again."""


class NothingToReuseError(Exception):
    """The earlier output does not hold all that is needed."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """What an earlier output holds of those tools whose settings and documents have not changed."""

    tools: Collection[str] = ()
    rows: Sequence[Any] = ()
    drops: Sequence[Dropped] = ()


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is asked to make."""

    stage: str
    tools: Sequence[str]
    """Their names, in the order in which they are proposed; empty if rows belong to no tool."""
    ask_again: Collection[str] = ()
    """Statuses whose calls are asked again."""


def complete(
    order: Order, inputs: Sequence[list[Any]], earlier: Earlier, compute: Compute, judge: Judge
) -> StageOutput:
    """The stage's output, with only that computed which the earlier one does not hold."""
    if not order.tools:
        return compute(order.stage, inputs, ())
    if order.stage == "propose":
        return _complete_proposals(order, inputs, earlier, compute)
    calls, others = inputs[0], inputs[1:]
    known = {_key(row): row for row in earlier.rows}
    rows = [_renew(call, known.get(_key(call)), order.ask_again, judge) for call in calls]
    missing = [call for call, row in zip(calls, rows, strict=True) if row is None]
    computed = iter(compute(order.stage, [missing, *others], order.tools)[0] if missing else ())
    return [next(computed) if row is None else row for row in rows], []


def refuse(*_: object) -> StageOutput:
    """What computes where nothing may be computed. Raises NothingToReuseError."""
    raise NothingToReuseError


def _complete_proposals(
    order: Order, inputs: Sequence[list[Any]], earlier: Earlier, compute: Compute
) -> tuple[list[Any], list[Dropped]]:
    missing = [tool for tool in order.tools if tool not in earlier.tools]
    rows, drops = compute(order.stage, inputs, missing) if missing else ((), ())
    documents: list[Document] = inputs[0]
    text_rank = {document.text_id: number for number, document in enumerate(documents)}
    tool_rank: Mapping[str | None, int] = {tool: number for number, tool in enumerate(order.tools)}

    def rank(row: Candidate | Dropped) -> tuple[int, int]:
        return text_rank[row.text_id], tool_rank[row.tool]

    return sorted([*earlier.rows, *rows], key=rank), sorted([*earlier.drops, *drops], key=rank)


def _renew(call: Candidate, known: Executed | None, ask_again: Collection[str], judge: Judge) -> Executed | None:
    """The earlier row of a call, with today's columns of the stages before; None if it has to be computed."""
    if known is None:
        return None
    if not isinstance(call, Executed):
        return None if known.status in ask_again else Executed(**vars(known) | vars(call))
    if not isinstance(known, Scored) or (known.status, known.result) != (call.status, call.result):
        return None
    losses = {name: getattr(known, name) for name in ("loss_without", "loss_with_call")}
    return judge(Scored(**vars(known) | vars(call) | losses))


def _key(call: Candidate) -> tuple[str, str, int, str]:
    return call.text_id, call.tool, call.char_offset, call.call_input
