"""The README of a fine-tuned model: what it was trained on, with which thresholds, and how it went."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from toolformer_ray.finetune.options import TrainOptions
from toolformer_ray.records.calls import render_call
from toolformer_ray.tools.brought.declared import tools_of_runs

CARD_FILE, TOOLS_FILE = "README.md", "toolformer.json"


def render_card(options: TrainOptions, provenance: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """The card, in Markdown. `provenance` is what `jobs.training.finetune` notes of the choice, `result` the course."""
    calls: Mapping[str, int] = provenance["num_calls"]
    chosen_by = provenance["chosen_by"]
    thresholds: Mapping[str, float] = {**chosen_by["min_loss_reduction"], **chosen_by.get("min_contrast", {})}
    share = chosen_by.get("max_false_share")
    otherwise = "as annotated" if share is None else f"by a false share of at most {share:.0%}"
    key_of = {tool.name: key for key, tool in tools_of_runs(chosen_by["run"]).items()}
    lines = [
        "---",
        f"base_model: {json.dumps(options.model)}",
        f"tags: {json.dumps(['toolformer', *sorted(calls)])}",
        "---",
        "",
        "# A model that calls tools",
        "",
        f"`{options.model}`, fine-tuned on its own text with the tool calls that its own losses kept (Toolformer, "
        f"arXiv 2302.04761). It writes calls such as `{render_call('Calculator', '400 / 1400', '0.29').strip()}`; what "
        "decodes it has to stop at `->`, ask the tool and go on after its result: `toolformer generate` does.",
        "",
        "## Data",
        "",
        f"{provenance['num_texts']:,} texts of {', '.join(provenance['chosen_by']['run'])}, "
        f"{provenance['num_without_calls']:,} of them without calls; {provenance['num_held_out']:,} more held out.",
        "",
        *_table(
            ["tool", "calls learned from", "least loss reduction (nats)"],
            [[tool, f"{number:,}", thresholds.get(key_of.get(tool, ""), otherwise)] for tool, number in calls.items()],
        ),
        "",
        "## Training",
        "",
        f"{options.max_steps:,} steps of {options.batch_size} rows of at most {options.max_length} tokens, learning "
        f"rate {options.learning_rate:g} after {options.warmup_share:.0%} of warm-up, {options.dtype}, seed "
        f"{options.seed}; the results of tools were {'left out of' if options.masks_results else 'part of'} the loss.",
        "",
        *_table(
            ["step", "perplexity of held-out texts"],
            [[f"{step:,}", f"{value:.2f}"] for step, value in result["perplexities"]],
        ),
        "",
    ]
    return "\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return ["(none)"]
    return [f"| {' | '.join(map(str, row))} |" for row in (header, ["---"] * len(header), *rows)]
