"""How much of an earlier output is taken over after settings have changed, and an output without broken rows.

The footer of a shard has, for each tool, a hash of what its rows were made from. Where that has not changed, a tool's
proposals are taken over; so is the answer to a call that is proposed again; so are its losses if the answer is the same
too, and only the verdict is made again. So another tau_f moves no text through the model, an added tool does not touch
the rows of the others, and an answer that changes costs the losses of that call. The rows are those of a new run.

A row of the first table that breaks its stage is left out and becomes a dropped row with the reason `broken` and the
error: for a text one for each tool that was to be proposed, for a call one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import BROKEN, Dropped, Executed

StageOutput = tuple[Sequence[Record], Sequence[Dropped]]
"""The rows that go on, and what left the flow."""
Compute = Callable[[Sequence[list[Any]], Sequence[str]], StageOutput]
"""(the rows of each table that the stage reads, names of the tools that are wanted) -> its output."""
Renew = Callable[[Any, Any, Any, Collection[str]], Executed | None]
"""(what the worker has opened, a call of the first table, the earlier row of the same call, statuses that are asked
again) -> the row of the call; None if it has to be computed."""

UNANSWERED = ("timeout", "unavailable", "crashed")
"""Statuses of calls that may get an answer if they are asked again."""


class NothingToReuseError(Exception):
    """The earlier output does not hold all that is needed."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The part of an earlier output that belongs to tools whose settings and documents have not changed."""

    tools: Collection[str] = ()
    rows: Sequence[Any] = ()
    drops: Sequence[Dropped] = ()
    sampled_tools: Collection[str] = ()
    """Further tools, of which some texts are known."""
    sampled_texts: Collection[str] = ()
    """Names of these texts, all of whose rows of these tools are among `rows` and `drops`."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """The circumstances under which a worker makes an output."""

    stage: str
    tools: Sequence[str]
    """Their names, in the order in which they are proposed; empty if rows belong to no tool."""
    opened: Any
    """What the worker has opened (`workflow.shard.work.Recipe`)."""
    ask_again: Collection[str] = ()
    """Statuses whose calls are asked again."""


class Reuse:
    """How the rows of a stage's output depend on the rows that it reads."""

    def complete(self, order: Order, tables: Sequence[list[Any]], earlier: Earlier, compute: Compute) -> StageOutput:
        """The stage's output, of which only the part is computed that cannot be taken over."""
        raise NotImplementedError

    def complete_without(
        self, broken: Mapping[int, str], order: Order, tables: Sequence[list[Any]], earlier: Earlier, compute: Compute
    ) -> StageOutput:
        """The output without the rows of these numbers in the first table, which are dropped with their errors."""
        first, others = tables[0], tables[1:]
        rows, drops = self.complete(order, [_without(broken, first), *others], earlier, compute)
        return rows, [
            *drops,
            *(_drop(order.stage, first[n], getattr(first[n], "tool", None), error) for n, error in broken.items()),
        ]


class AsAWhole(Reuse):
    """Rows belong to no tool, so nothing is taken over."""

    def complete(
        self,
        order: Order,
        tables: Sequence[list[Any]],
        earlier: Earlier,  # noqa: ARG002
        compute: Compute,
    ) -> StageOutput:
        """See `Reuse.complete`."""
        return compute(tables, order.tools)


AS_A_WHOLE = AsAWhole()


class PerTool(Reuse):
    """Each row belongs to a tool and to a text; all rows of a tool and a text are taken over, or none.

    The first table that the stage reads has one row for each text.
    """

    def complete(self, order: Order, tables: Sequence[list[Any]], earlier: Earlier, compute: Compute) -> StageOutput:
        """See `Reuse.complete`. Rows are in the order of the texts, those of a text in the order of the tools."""
        missing = [tool for tool in order.tools if tool not in earlier.tools]
        others = [row for row in tables[0] if row.text_id not in earlier.sampled_texts]
        rows, drops = list(earlier.rows), list(earlier.drops)
        for is_sampled, texts in ((False, tables[0]), (True, others)):
            tools = [tool for tool in missing if (tool in earlier.sampled_tools) == is_sampled]
            if tools and texts:
                made, dropped = compute([texts, *tables[1:]], tools)
                rows.extend(made)
                drops.extend(dropped)
        text_rank = {row.text_id: number for number, row in enumerate(tables[0])}
        tool_rank = {tool: number for number, tool in enumerate(order.tools)}

        def rank(row: Any) -> tuple[int, int]:
            return text_rank[row.text_id], tool_rank[row.tool]

        return sorted(rows, key=rank), sorted(drops, key=rank)

    def complete_without(
        self, broken: Mapping[int, str], order: Order, tables: Sequence[list[Any]], earlier: Earlier, compute: Compute
    ) -> StageOutput:
        """See `Reuse.complete_without`. Rows of these texts that are taken over stay."""

        errors = {tables[0][number].text_id: error for number, error in broken.items()}

        def compute_without(given: Sequence[list[Any]], tools: Sequence[str]) -> StageOutput:
            rows, drops = compute([[row for row in given[0] if row.text_id not in errors], *given[1:]], tools)
            broken_texts = [row for row in given[0] if row.text_id in errors]
            lost = [_drop(order.stage, row, tool, errors[row.text_id]) for row in broken_texts for tool in tools]
            return rows, [*drops, *lost]

        return self.complete(order, tables, earlier, compute_without)


@dataclass(frozen=True)
class PerCall(Reuse):
    """Each call of the first table becomes a row, in order, or is dropped; rows are taken over for which `renew` gives
    one. Calls that were dropped are computed again."""

    renew: Renew

    def complete(self, order: Order, tables: Sequence[list[Any]], earlier: Earlier, compute: Compute) -> StageOutput:
        """See `Reuse.complete`. Raises ValueError if a call that is computed gives no row and no drop, or several."""
        calls, others = tables[0], tables[1:]
        known = {_key(row): row for row in earlier.rows}
        rows = [
            self.renew(order.opened, call, known[_key(call)], order.ask_again) if _key(call) in known else None
            for call in calls
        ]
        missing = [call for call, row in zip(calls, rows, strict=True) if row is None]
        computed, drops = compute([missing, *others], order.tools) if missing else ((), ())
        made, num_dropped = {_key(row): row for row in computed}, sum(drop.count for drop in drops)
        filled = [made.get(_key(call)) if row is None else row for call, row in zip(calls, rows, strict=True)]
        complete = [row for row in filled if row is not None]
        if len(computed) + num_dropped != len(missing) or len(complete) + num_dropped != len(calls):
            raise ValueError(
                f"{order.stage} made {len(computed)} rows and dropped {num_dropped} of {len(missing)} calls: each call "
                "has to become one row with its text_id, tool, char_offset and call_input, or a dropped row"
            )
        return complete, drops


def refuse(*_: object) -> StageOutput:
    """Stands in for the stage's function where nothing may be computed. Raises NothingToReuseError."""
    raise NothingToReuseError


def _key(call: Any) -> tuple[str, str, int, str]:
    return call.text_id, call.tool, call.char_offset, call.call_input


def _without(broken: Mapping[int, str], rows: Sequence[Any]) -> list[Any]:
    return [row for number, row in enumerate(rows) if number not in broken]


def _drop(stage: str, row: Any, tool: str | None, error: str) -> Dropped:
    return Dropped(
        stage=stage,
        reason=BROKEN,
        text_id=row.text_id,
        tool=tool,
        char_offset=getattr(row, "char_offset", None),
        detail=error,
        count=1,
    )
