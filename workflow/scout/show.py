"""`toolformer scout`: prints the league table, for people or as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.scout.league import PER, ToolScore
from toolformer_ray.workflow.scout.scout import Scouted, ScoutOptions, scout_tools
from toolformer_ray.workflow.totals import Total


def scout(options: ScoutOptions) -> int:
    """Compare the tools and print. Raises ValueError, one line, for what the user has to change."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    found = scout_tools(options)
    print(json.dumps(to_json(found), ensure_ascii=False) if options.json else describe(found, options))
    return 0


def to_json(found: Scouted) -> dict[str, Any]:
    """All figures, by rank; intervals as `expected`, `low` and `high`."""
    return {
        "num_texts": found.corpus.num_texts,
        "num_sampled": len(found.corpus.texts.texts),
        "per_texts": PER,
        "tools": [asdict(score) for score in found.tools],
    }


def describe(found: Scouted, options: ScoutOptions) -> str:
    """The corpus, the table, and what it tells."""
    corpus = found.corpus
    told = (
        f"{corpus.num_texts:,.0f} texts, {corpus.reading.description}; sample: {len(corpus.texts.texts):,} texts, "
        f"--seed {options.propose.seed}; all figures per {PER:,} texts, with 95 % intervals"
    )
    return f"{told}\n\n{league_table(found.tools)}\n\n{_verdict(found.tools)}"


def league_table(scores: Sequence[ToolScore]) -> str:
    """One line a tool, by rank."""
    rows = [
        [
            score.tool,
            _figure(score.net),
            _figure(score.saved),
            _figure(score.kept),
            "unknown" if score.false_share is None else _figure(score.false_share, "{:.0%}"),
            _figure(score.calls),
            _figure(score.seconds, "{:,.1f}"),
            f"{score.model_seconds:,.0f}",
            f"{score.first:.0%}",
        ]
        for score in scores
    ]
    header = ["tool", "nats, net of chance", "nats saved", "kept", "false share", "calls", "their seconds"]
    return text_table([*header, "model's seconds", "first in"], rows)


def _figure(total: Total, form: str = "{:,.0f}") -> str:
    """`120 (80 to 163)`."""
    return f"{form.format(total.expected)} ({form.format(total.low)} to {form.format(total.high)})"


def _verdict(scores: Sequence[ToolScore]) -> str:
    doubtful = [score.tool for score in scores if not score.is_above_chance]
    if not doubtful:
        return "each spares the texts more than answers at random would"
    return f"no better than answers at random, as far as the sample tells: {', '.join(doubtful)}"
