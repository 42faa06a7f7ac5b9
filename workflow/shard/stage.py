"""What a stage is. The list of stages is in `workflow.pipeline`.

Stages meet on disk: a shard has the same name in every table, and a stage takes it up as soon as the one before has
written it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from toolformer_ray.records.counts import Count
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Dropped
from toolformer_ray.workflow.shard.reuse import AS_A_WHOLE, AsAWhole, PerTool, Reuse

Needs = Literal["cpu", "model", "tools", "proposer"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of the pipeline, with all that the rest of the program has to know about it."""

    name: str
    run: Callable[..., Any]
    """Its function: (what the worker has opened, names of the wanted tools, the rows of each table in `reads`) ->
    (rows, dropped rows). Without `tool_settings` the names are empty: its rows belong to no tool. For the first stage,
    which reads the corpus: (what the worker has opened, groups of names of files) -> an iterator of such outputs, one
    per shard."""
    reads: tuple[type[Record], ...]
    """The rows of its input tables. It processes those of the first one, and looks things up in the others. Empty for
    the stage that reads the corpus."""
    writes: type[Record]
    """The rows of its output table. Rows that it drops go to `dropped/<name>/`."""
    needs: Needs
    """The kind of worker that does it: a plain process, one with the model, one with the tools, or one with another
    model that proposes."""
    drops: tuple[str, ...] = ()
    """The reasons for which it drops rows, beside records.stages.BROKEN."""
    reuse: Reuse = AS_A_WHOLE
    """How much of an earlier output is taken over when settings have changed. With `PerTool` the first of `reads` is a
    table of texts, with `PerCall` one of calls; both need `tool_settings`, which tell what has changed."""
    counts: Callable[[Sequence[Any], Sequence[Dropped]], Counter[Count]] | None = None
    """(rows, dropped rows) -> its own counts. Rows and drops are counted for every stage."""
    check: Callable[..., Iterable[str]] | None = None
    """(the rows of each table in `reads`, its rows, its dropped rows, names of the run's tools) -> what is not
    accounted for, a line each (`toolformer verify`)."""
    settings: Callable[[Any], object] | None = None
    """(workflow.book.fingerprints.RunInputs) -> what decides its rows, besides its input and `tool_settings`."""
    tool_settings: Callable[[Any, str], tuple[object, ...]] | None = None
    """(RunInputs, key of a tool) -> what decides its rows of that tool. None if rows belong to no tool."""
    version: int = 1
    """Raise it when the stage's rows change, so that outputs of older code do not count as done."""

    def __post_init__(self) -> None:
        if not isinstance(self.reuse, AsAWhole) and not self.tool_settings:
            raise ValueError(f"{self.name} takes rows over by tool or by call: give its `tool_settings`")
        columns = {field.name for record in self.reads[:1] for field in fields(record)}
        if isinstance(self.reuse, PerTool) and "tool" in columns:
            raise ValueError(f"{self.name} takes rows over by tool: let it read a table of texts first, not of calls")

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.writes.table

    @property
    def drops_table(self) -> str:
        """The name of the table of its dropped rows."""
        return f"dropped/{self.name}"
