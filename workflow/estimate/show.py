"""`toolformer estimate`: prints an estimate."""

from toolformer_ray.annotate.proposer_options import who_proposes
from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.book.fingerprints import plain_options
from toolformer_ray.workflow.estimate.estimate import Estimate, EstimateOptions, make_estimate, workers_at_once
from toolformer_ray.workflow.estimate.kept import keep_estimate
from toolformer_ray.workflow.report.tables import describe_share
from toolformer_ray.workflow.report.text_table import text_table
from toolformer_ray.workflow.run_folder_errors import blaming_run_folder
from toolformer_ray.workflow.totals import Total


def estimate(options: EstimateOptions) -> int:
    """Estimate and print. Raises ValueError, one line, for what the user has to change."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    found = make_estimate(options)
    if options.run:
        run = RunFolder(options.run)
        with blaming_run_folder(run):
            keep_estimate(run, found, options)
    print(describe_estimate(found, options))
    return 0


def describe_estimate(found: Estimate, options: EstimateOptions) -> str:
    """The corpus, what it will yield, what it will cost, and what finding out has cost."""
    return "\n\n".join(
        [
            _describe_corpus(found, options),
            _describe_yield(found, options),
            _describe_examples(found),
            _describe_model(found, options),
            _describe_calls_made(found, options),
        ]
    )


def _describe_corpus(found: Estimate, options: EstimateOptions) -> str:
    sample = found.sample
    lines = [f"{found.num_texts:,.0f} texts, {found.reading.description}"]
    if drops := [f"{reason} {number * found.reading.factor:,.0f}" for reason, number in sorted(sample.dropped.items())]:
        lines.append(f"no text comes of: {', '.join(drops)}")
    lines.append(
        f"sample: {len(sample.texts):,} texts in {len(sample.strata):,} strata by source and length, "
        f"--seed {options.propose.seed}"
    )
    return "\n".join(lines)


def _describe_yield(found: Estimate, options: EstimateOptions) -> str:
    tools = {tool.name: tool for tool in options.tools.make().values()}
    rows = []
    for row in found.tools:
        hours = row.seconds / 3600
        at_once = workers_at_once(tools[row.tool], options.workers.tool_workers)
        calls, kept = ([round(total.expected), _interval(total)] for total in (row.calls, row.kept))
        rows.append(
            [row.tool, *calls, *kept, describe_share(row.false_share), round(row.asked), hours, hours / at_once]
        )
    shares = ("kept", "95 %", "false share")
    header = ["tool", "calls", "95 %", *shares, "asked", "hours one by one", "hours at most at once"]
    return text_table(header, rows)


def _describe_examples(found: Estimate) -> str:
    return "\n".join(found.examples) or "no call of the sample could be judged"


def _describe_model(found: Estimate, options: EstimateOptions) -> str:
    rate, told = found.rate(options), "given"
    if options.tokens_per_second is None:
        told = f"measured here, {options.model.device} {options.model.dtype}"
    per_stage = {**found.tokens, "all": sum(found.tokens.values())}
    rows = [
        [stage, round(number / found.num_texts), round(number), number / rate / 3600]
        for stage, number in per_stage.items()
    ]
    hours = "GPU hours" if options.model.on_gpu or told == "given" else "device hours"
    table = text_table(["through the model", "tokens a text", "tokens", hours], rows)
    if options.proposer.is_another:
        proposer = who_proposes(plain_options(options.proposer))
        table += f"\nproposed by {proposer}, scored by {options.model.model}; the rate is of both together"
    return f"{table}\nat {rate:,.0f} tokens a second on one device ({told}); loading the model not included"


def _describe_calls_made(found: Estimate, options: EstimateOptions) -> str:
    made = [f"{row.tool} {row.asked_now:,}" for row in found.tools]
    kept = (
        f"kept in {without_keys(options.run)}: annotate with the same settings goes on from there"
        if options.run
        else "nothing was kept: with --run annotate goes on from here"
    )
    return f"tools were asked for this: {', '.join(made)} calls; {kept}"


def _interval(total: Total) -> str:
    return f"{total.low:,.0f} to {total.high:,.0f}"
