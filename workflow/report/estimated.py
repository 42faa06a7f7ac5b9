"""What a run cost so far, beside what was estimated of it before (`toolformer estimate --run`)."""

from collections.abc import Iterator
from typing import Any

from toolformer_ray.records.counts import TOKENS
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.pipeline import PIPELINE

ESTIMATE_FILE = "estimate/estimate.json"


def read_estimate(run: RunFolder) -> dict[str, Any] | None:
    """The numbers of the run's estimate; None if there is none, or if it is not whole."""
    try:
        found = run.read_json(ESTIMATE_FILE)
    except ValueError:
        return None
    return found if isinstance(found, dict) and isinstance(found.get("tools"), dict) else None


def tokens_read(run: RunFolder) -> int:
    """Tokens that went through the model for all outputs that are there."""
    tables = [stage.table for stage in PIPELINE if stage.needs == "model"]
    return sum(header.counts.get(TOKENS, 0) for table in tables for header in run.headers(table).by_shard.values())


def beside_estimate(
    estimate: dict[str, Any], texts: int, tokens: int, calls: dict[str, tuple[int, int]]
) -> Iterator[tuple[str, float, int]]:
    """Lines of (what, estimated for the whole corpus, so far). Of `calls`, per tool all and the kept ones."""
    yield "texts", estimate.get("texts", 0), texts
    yield "tokens through the model", estimate.get("tokens", 0), tokens
    for tool, told in estimate["tools"].items():
        made, kept = calls.get(tool, (0, 0))
        yield f"calls of {tool}", told.get("calls", 0), made
        yield f"kept of {tool}", told.get("kept", 0), kept
