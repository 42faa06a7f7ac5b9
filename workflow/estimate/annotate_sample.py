"""Runs a sample of texts through the stages, in this process and in memory, and says how far it is."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from toolformer_ray.records.stages import Document, Dropped, Scored
from toolformer_ray.workflow.log import say
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.recipe import OpenedModel
from toolformer_ray.workflow.report.progress import describe_seconds
from toolformer_ray.workflow.shard.stage import Needs, Stage
from toolformer_ray.workflow.shard.work import Recipe


@dataclass(kw_only=True)
class AnnotatedSample:
    """What has come of the texts so far."""

    rows: dict[str, list[Any]]
    """By table."""
    drops: dict[str, list[Dropped]] = field(default_factory=dict)
    """What left the flow, by the table of the stage that dropped it."""
    tokens: Counter[str] = field(default_factory=Counter)
    """That went through the model, per stage."""
    seconds: float = 0.0
    """The time that the model took."""


WITH_MODEL: tuple[Needs, ...] = ("model", "proposer")
"""Kinds of workers that have a model."""


def open_all(recipe: Recipe, pipeline: Sequence[Stage] = PIPELINE) -> Mapping[Needs, Any]:
    """What workers of every kind have, in this process: models are loaded and the tools are opened."""
    kinds: tuple[Needs, ...] = ("tools", *WITH_MODEL, "cpu")
    return {needs: recipe.open(needs) for needs in kinds if any(stage.needs == needs for stage in pipeline)}


def annotate_sample(
    opened: Mapping[Needs, Any],
    tools: Sequence[str],
    texts: Sequence[Document],
    pipeline: Sequence[Stage] = PIPELINE,
    *,
    at_once: int = 32,
    event: str = "estimate",
) -> AnnotatedSample:
    """Run texts through all stages after the one that reads the corpus, so many at once, as a shard of a run has.

    `event` names in the log the command that does it.
    """
    found = AnnotatedSample(rows={stage.table: [] for stage in pipeline})
    started = time.monotonic()
    for first in range(0, len(texts), at_once):
        portion = texts[first : first + at_once]
        _run_portion(opened, tools, portion, pipeline, found, tells=None if first else event)
        _tell_progress(found, len(texts), time.monotonic() - started, event)
    return found


def _run_portion(
    opened: Mapping[Needs, Any],
    tools: Sequence[str],
    texts: Sequence[Document],
    pipeline: Sequence[Stage],
    found: AnnotatedSample,
    *,
    tells: str | None,
) -> None:
    rows: dict[str, list[Any]] = {Document.table: list(texts)}
    for stage in pipeline[1:]:
        wanted = tools if stage.tool_settings else []
        if tells:
            read = ", ".join(f"{len(rows[one.table]):,} {one.table}" for one in stage.reads)
            say(tells, f"the first texts: {stage.name}, of {read}")
        model = cast(OpenedModel, opened[stage.needs]).model if stage.needs in WITH_MODEL else None
        tokens_before, started = model.num_tokens_read if model else 0, time.monotonic()
        output, dropped = stage.run(opened[stage.needs], wanted, *(rows[record.table] for record in stage.reads))
        rows[stage.table] = list(output)
        found.drops.setdefault(stage.table, []).extend(dropped)
        if model:
            found.seconds += time.monotonic() - started
            found.tokens[stage.name] += model.num_tokens_read - tokens_before
    for table, portion in rows.items():
        found.rows.setdefault(table, []).extend(portion)


def _tell_progress(found: AnnotatedSample, num_texts: int, seconds: float, event: str) -> None:
    num_done = len(found.rows[Document.table])
    told = f"{num_done:,} of {num_texts:,} texts are through"
    if scored := found.rows.get(Scored.table):
        told += f", {sum(row.is_kept for row in scored):,} of {len(scored):,} calls kept"
    if num_done < num_texts:
        told += f", about {describe_seconds(seconds / num_done * (num_texts - num_done))} left"
    say(event, told, texts=num_done)
