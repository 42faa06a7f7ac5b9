"""`toolformer promote`: says of each function whether it was promoted, or why not."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from toolformer_ray.workflow.promote.promote import Judged, PromoteOptions, promote_functions
from toolformer_ray.workflow.promote.verdict import PROMOTED
from toolformer_ray.workflow.report.text_table import text_table

HEADER = ("function", "texts", "kept", "tried on", "calls", "kept there", "nats, net of chance", "cost", "")


def promote(annotated: str, *, options: PromoteOptions) -> int:
    """Make tools of the functions of a run that pay.

    Parameters
    ----------
    annotated
        The folder of a run that had the tool python; its model and settings are used.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    judged = promote_functions(annotated, options)
    print(json.dumps(to_json(judged), ensure_ascii=False) if options.json else describe(judged, options))
    return 0


def to_json(judged: Sequence[Judged]) -> dict[str, Any]:
    """All figures, in the order in which functions were tried."""
    return {
        "functions": [
            {
                "name": one.name,
                "source": one.collected.function.source,
                "num_texts": len(one.collected.texts),
                "num_kept": one.collected.num_kept,
                "verdict": one.verdict,
                "cost": one.cost,
                "tried": asdict(one.tried) if one.tried else None,
            }
            for one in judged
        ]
    }


def describe(judged: Sequence[Judged], options: PromoteOptions) -> str:
    """A line for each function, and what was written."""
    if not judged:
        return "no answered call of the run wrote a function"
    rows = [_row(one) for one in judged]
    promoted = sum(one.verdict == PROMOTED for one in judged)
    told = (
        f"{options.out} holds {promoted:,} of them; look at it, and give annotate or generate --tools "
        f"python:{options.out}"
        if promoted
        else "none of them is promoted, so nothing is written"
    )
    return f"{text_table(HEADER, rows)}\n\n{told}"


def _row(one: Judged) -> list[object]:
    written = [one.name, len(one.collected.texts), one.collected.num_kept]
    if one.tried is None or one.cost is None:
        return [*written, "", "", "", "", "", one.verdict]
    tried = one.tried
    return [*written, tried.num_texts, tried.calls, tried.kept, f"{tried.net:.2f}", f"{one.cost:.1f}", one.verdict]
