"""What a stage of the pipeline is. The stages of a run, as a list, are in `workflow.pipeline`.

Stages meet on disk: a shard has the same name in every table, and a stage takes it up as soon as the one before has
written it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from toolformer_ray.records.counts import Count
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Dropped
from toolformer_ray.workflow.shard.reuse import AS_A_WHOLE, Reuse

Needs = Literal["cpu", "model", "tools"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the flow, and all that the rest of the program has to know of it."""

    name: str
    run: Callable[..., Any]
    """(what the worker has opened, names of the tools that are wanted, the rows of each table in `reads`) -> the rows
    that go on, and what left the flow. The first stage, which reads the corpus: (what the worker has opened, names of
    files in groups) -> an iterator of such outputs, a shard each."""
    reads: tuple[type[Record], ...]
    """The tables of these rows. The stage goes through the first one and looks things up in the others. Empty for the
    stage that reads the corpus."""
    writes: type[Record]
    """The rows of its own table. What it drops goes to `dropped/<name>/`."""
    needs: Needs
    """The pool of workers that does it: a plain process, one that holds the model, one that holds the tools."""
    drops: tuple[str, ...] = ()
    """The reasons for which it drops rows, beside records.stages.BROKEN."""
    reuse: Reuse = AS_A_WHOLE
    """How much of an old output holds when settings have changed."""
    counts: Callable[[Sequence[Any], Sequence[Dropped]], Counter[Count]] | None = None
    """(rows, drops) -> what it counts of a shard; rows and drops are counted for every stage."""
    check: Callable[..., Iterable[str]] | None = None
    """(the rows of each table in `reads`, its rows, its drops, names of the run's tools) -> what is not accounted for,
    a line each (`toolformer verify`). None if the stage may make anything of what it reads."""
    settings: Callable[[Any], object] | None = None
    """(workflow.book.fingerprints.RunInputs) -> what decides its rows, beside what it reads and `tool_settings`."""
    tool_settings: Callable[[Any, str], tuple[object, ...]] | None = None
    """(RunInputs, key of a tool) -> what decides its rows of one tool. None where rows belong to no tool."""
    version: int = 1
    """Raise it when the stage's rows change, so that shards of the old code are not taken for done."""

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.writes.table

    @property
    def drops_table(self) -> str:
        """The name of the table of what it drops."""
        return f"dropped/{self.name}"
