"""An estimate that is kept in the folder of the run that it is for: its rows and its numbers."""

from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.estimate.estimate import Estimate, EstimateOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.estimated import ESTIMATE_FILE
from toolformer_ray.workflow.shard.sampled import keep_sample, sample_folder


def keep_estimate(run: RunFolder, found: Estimate, options: EstimateOptions) -> None:
    """Write both. Raises OSError if the folder cannot be written to."""
    keep_sample(sample_folder(run), PIPELINE, found.found.rows, found.found.drops, found.made_by)
    tokens = sum(found.tokens.values())
    numbers = {
        "texts": found.num_texts,
        "sampled_texts": len(found.sample.texts),
        "tokens": tokens,
        "model_hours": tokens / found.rate(options) / 3600,
        "tools": {row.tool: {"calls": row.calls.expected, "kept": row.kept.expected} for row in found.tools},
    }
    run.write_json(ESTIMATE_FILE, numbers)
