"""The pipeline as a list: each stage, which tables it reads, which one it writes, and what its workers must have open.

Stages meet on disk: a shard has the same name in every table, and a stage takes it up as soon as the one before has
written it. The first table that a stage reads decides which shards there are to do; the others are looked things up in.
"""

from dataclasses import dataclass
from typing import Literal

Needs = Literal["cpu", "model", "tools"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the flow. What it does to a shard is in `workflow.recipe`; what drives it in `jobs.driver.loop`."""

    name: str
    reads: tuple[str, ...]
    """Tables, the one it goes through first; empty for ingest, which reads the corpus."""
    writes: str
    """Its table. What it drops goes to `dropped/<name>/`."""
    needs: Needs
    """The pool of workers that does it: a plain process, one that holds the model, one that holds the tools."""
    version: int = 1
    """Raise it when the stage's rows change, so that shards of the old code are not taken for done."""


PIPELINE = (
    Stage(name="ingest", reads=(), writes="documents", needs="cpu"),
    Stage(name="propose", reads=("documents",), writes="candidates", needs="model", version=2),
    Stage(name="execute", reads=("candidates", "documents"), writes="executed", needs="tools", version=2),
    Stage(name="score", reads=("executed", "documents"), writes="scored", needs="model", version=2),
    Stage(name="interleave", reads=("scored", "documents"), writes="augmented", needs="cpu"),
)
