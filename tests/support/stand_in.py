"""The real pipeline with other functions: stages that do arithmetic, take their time, or do nothing."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import Any

from toolformer_ray.records.stages import Candidate, Executed, Scored
from toolformer_ray.workflow.pipeline import PIPELINE, renew_losses
from toolformer_ray.workflow.shard.reuse import PerCall


def _run(stage: str, opened: Any, *given: Any) -> Any:
    if stage == "ingest":
        return opened.ingest(*given)
    tools, *tables = given
    return opened.compute(stage, tables, tools)


def _renew(_: Any, call: Executed, known: Scored, __: Collection[str]) -> Scored | None:
    return renew_losses(call, known)


def _renew_answer(_: object, call: Candidate, known: Executed, ask_again: Collection[str]) -> Executed | None:
    return None if known.status in ask_again else Executed(**vars(known) | vars(call))


RENEWALS = {"execute": PerCall(_renew_answer), "score": PerCall(_renew)}
STAND_IN_PIPELINE = tuple(
    replace(
        stage,
        run=partial(_run, stage.name),
        reuse=RENEWALS.get(stage.name, stage.reuse),
    )
    for stage in PIPELINE
)
"""What a worker has opened does the work: `ingest(readings)`, and `compute(stage, tables, tools)` for the others.

Old verdicts stand."""
