"""Writes what was measured as Markdown tables, between two marker comments of a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from toolformer_ray.bench.compare import Outcome, Run
from toolformer_ray.bench.meter import SCORE_STAGES, STAGES

PER_TEXT = STAGES[1:]


def write_page(path: Path, kind: str, body: str) -> None:
    """Put `body` between the two comments of `kind` ("cpu", "cuda"); a page without them gets both at its end."""
    begin, end = f"<!-- bench {kind}: written by make bench -->", f"<!-- end of bench {kind} -->"
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n".lstrip()
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path} holds {begin!r} without {end!r} after it; put it back where the tables end")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{begin}\n\n{body.strip()}\n\n{end}{after}", encoding="utf-8")


def render(outcomes: Iterable[Outcome]) -> str:
    """A section for each setting."""
    return "\n\n".join(render_outcome(outcome) for outcome in outcomes)


def render_outcome(outcome: Outcome) -> str:
    """A table of stages and a table of figures."""
    setting = outcome.setting
    head = (
        f"### {outcome.title}, texts of {setting.num_tokens:,} tokens\n\n"
        f"{outcome.device_name}, {setting.dtype}, {outcome.threads} threads; {setting.num_texts} texts, k = m = 5, "
        f"samples of at most {outcome.max_new_tokens} tokens, {outcome.num_calls} distinct calls scored, "
        f"{outcome.num_survivors} of them needed L(e(c, ε)). Tokens as they go through the model, padding included "
        "(in brackets); the floor's seconds are its operations at the measured peak. Best of "
        f"{outcome.num_timed} runs in turns."
    )
    return "\n\n".join([head, _stage_table(outcome), _figure_table(outcome)])


def _stage_table(outcome: Outcome) -> str:
    rows = [_stage_row(outcome, stage, (stage,)) for stage in PER_TEXT]
    rows.append(_stage_row(outcome, "**all**", PER_TEXT))
    return _table(
        ["a text", "floor: tokens", "engine", "baseline", "floor: seconds", "engine", "baseline"],
        rows,
    )


def _stage_row(outcome: Outcome, name: str, stages: Sequence[str]) -> list[str]:
    texts = outcome.setting.num_texts
    floor = sum(outcome.floor[stage].tokens for stage in stages) / texts
    floor_seconds = sum(map(outcome.floor_seconds, stages)) / texts
    runs = (outcome.engine, outcome.plain)
    tokens = [_tokens(run, stages, texts) for run in runs]
    seconds = [f"{sum(run.seconds[stage] for stage in stages) / texts:.3g}" for run in runs]
    return [name, f"{floor:,.0f}", *tokens, f"{floor_seconds:.3g}", *seconds]


def _tokens(run: Run, stages: Sequence[str], texts: int) -> str:
    tokens, padding = (sum(counts[stage] for stage in stages) / texts for counts in (run.tokens, run.padding))
    return f"{tokens:,.0f}" + (f" ({padding:,.0f})" if round(padding) else "")


def _figure_table(outcome: Outcome) -> str:
    floor = sum(outcome.floor[stage].tokens for stage in PER_TEXT)
    engine, plain = (sum(run.tokens[stage] for stage in PER_TEXT) for run in (outcome.engine, outcome.plain))
    repeated = outcome.repeated_empty_tokens
    demonstrations = outcome.floor["demonstrations"].tokens
    figures = [
        ("tokens, engine over floor", f"{engine / floor:.3f}"),
        ("tokens, baseline over engine", f"{plain / engine:.1f}"),
        ("the same, L(ε) read again for each call", f"{(plain + repeated) / engine:.1f}"),
        ("wall clock, baseline over engine", f"{outcome.plain.total_seconds / outcome.engine.total_seconds:.1f}"),
        ("wall clock, engine over floor", f"{outcome.engine.total_seconds / _floor_seconds(outcome):.2f}"),
        *_sampling_figures(outcome),
        ("share of peak: score", f"{outcome.share_of_peak(*SCORE_STAGES):.0%}"),
        ("share of peak: positions", f"{outcome.share_of_peak('positions'):.0%}"),
        ("tokens a second: score, positions", _token_rates(outcome)),
        ("peak, GFLOP/s: square products, own shapes", _peaks(outcome)),
        ("demonstrations, once a run", f"{demonstrations:,} tokens, engine {_once(outcome):,}"),
        ("baseline's batches: prompts, sequences", _sizes(outcome)),
        ("agreement: texts with other places, log p, losses", _agreement(outcome)),
    ]
    return _table(["figure", "value"], [list(figure) for figure in figures])


def _sampling_figures(outcome: Outcome) -> list[tuple[str, str]]:
    engine = outcome.engine.num_samples / outcome.engine.seconds["samples"]
    rates = outcome.tuned.samples_per_second
    size = outcome.same_memory_prompts
    # Where memory holds more prompts than were tried, the largest batch tried stands for it.
    rate = rates.get(size) or rates[max(rates)]
    best = max(rates.values())
    figures = [
        ("samples a second: engine", f"{engine:.3g}"),
        ("`generate` in the same batch memory", f"{rate:.3g} (engine {engine / rate:.1f} times that)"),
        ("`generate` at its best", f"{best:.3g} (engine {engine / best:.1f} times that)"),
    ]
    if outcome.engine.peak_bytes:
        memory = [f"{run.peak_bytes / 2**30:.1f}" for run in (outcome.engine, outcome.plain)]
        figures.append(("device memory while sampling, GiB: engine, baseline", ", ".join(memory)))
    return figures


def _floor_seconds(outcome: Outcome) -> float:
    return sum(map(outcome.floor_seconds, PER_TEXT))


def _token_rates(outcome: Outcome) -> str:
    groups = [SCORE_STAGES, ("positions",)]
    rates = []
    for stages in groups:
        seconds = sum(outcome.engine.seconds[stage] for stage in stages)
        rates.append(f"{sum(outcome.floor[stage].tokens for stage in stages) / seconds:,.0f}" if seconds else "none")
    return ", ".join(rates)


def _peaks(outcome: Outcome) -> str:
    return f"{outcome.peak.square / 1e9:,.0f}, {outcome.peak.own_shapes / 1e9:,.0f}"


def _once(outcome: Outcome) -> int:
    return outcome.engine.tokens["demonstrations"]


def _sizes(outcome: Outcome) -> str:
    return f"{outcome.tuned.sizes.prompts}, {outcome.tuned.sizes.sequences}"


def _agreement(outcome: Outcome) -> str:
    agreement = outcome.agreement
    return f"{agreement.places_differ}, {agreement.log_probability:.1e}, {agreement.loss:.1e}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
