"""`toolformer estimate`: estimates what annotating a corpus will yield and cost.

The real stages run on a stratified sample of the texts, in this process, and write nothing. Their results are
extrapolated to the whole corpus: calls and kept calls per tool with 95 % intervals, tokens through the model, hours.

Not covered: equal calls are asked once per shard, and a shard has other texts than a portion of the sample. The rows
are not taken over by `annotate`, whose shards are neighbours in the corpus while the sample is spread over all of it;
what the tools answered is, if both are given the same `--cache`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from toolformer_ray.annotate.cutting import max_text_tokens
from toolformer_ray.annotate.ingest import ingest
from toolformer_ray.losses.false_share import count_chance
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.stages import Executed, Scored
from toolformer_ray.tools.asking.answer_store import open_store
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.corpus import look_at_corpus
from toolformer_ray.workflow.estimate.annotate_sample import annotate_sample
from toolformer_ray.workflow.estimate.examples import choose_examples
from toolformer_ray.workflow.estimate.sample import Reading, TextSample, choose_files, draw_sample
from toolformer_ray.workflow.log import ProgressOptions, say
from toolformer_ray.workflow.model_files import look_at_model
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.recipe import AnnotateRecipe
from toolformer_ray.workflow.shard.counts import was_asked
from toolformer_ray.workflow.totals import Total, estimate_total

_UNUSED = Parameter(show=False)
"""Options of annotate that change nothing here, accepted so that its command can be given as it is."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EstimateOptions(AnnotateOptions):
    """The run that is to be estimated, and how much is tried to find out."""

    run: Annotated[str, _UNUSED] = ""
    progress: Annotated[ProgressOptions, Parameter(name="*", show=False)] = field(default_factory=ProgressOptions)
    change_settings: Annotated[bool, _UNUSED] = False
    forget_missing_files: Annotated[bool, _UNUSED] = False
    retry_failed: Annotated[bool, _UNUSED] = False
    sample: int = 200
    """Texts that are annotated to find out; --seed decides which. Four times as many halve the intervals."""
    tokens_per_second: float | None = None
    """Tokens a second that one device of the real run reads; by default what this one does with the sample."""
    max_read: int = 512
    """Megabytes of the corpus that are read; of a larger one a random choice of whole files, its texts extrapolated."""

    def __post_init__(self) -> None:
        if self.sample < 1:
            raise OptionError("sample", self.sample, "it must be at least 1 text")
        if self.tokens_per_second is not None and not self.tokens_per_second > 0:
            raise OptionError("tokens_per_second", self.tokens_per_second, "it must be more than 0")
        if self.max_read < 1:
            raise OptionError("max_read", self.max_read, "it must be at least 1 megabyte")


@dataclass(frozen=True, kw_only=True)
class ToolEstimate:
    """The estimate for one tool in the whole corpus."""

    tool: str
    calls: Total
    """Distinct calls that will be put to it, or answered from what is known."""
    kept: Total
    false_share: float | None
    """Estimated, of the sample's kept calls; None where it is unknown or the filter has no decoys."""
    asked: float
    """Calls for which it will really be asked."""
    seconds: float
    """The time that those calls take one after another, at the mean latency of the sample."""
    asked_now: int
    """Calls that the estimate itself made."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The estimate for a corpus."""

    reading: Reading
    sample: TextSample
    num_texts: float
    """In the whole corpus."""
    tools: Sequence[ToolEstimate]
    sampled_tokens: Mapping[str, int]
    """Tokens through the model per stage, for the sample."""
    model_seconds: float
    """The time that the model took for the sample on this device."""
    examples: Sequence[str]
    """A few calls of the sample in their texts, a line each."""

    @property
    def factor(self) -> float:
        """Texts of the corpus per text of the sample."""
        return self.num_texts / len(self.sample.texts)

    @property
    def measured_tokens_per_second(self) -> float:
        """As measured with the sample, on this device."""
        return sum(self.sampled_tokens.values()) / self.model_seconds

    @property
    def tokens(self) -> dict[str, float]:
        """Tokens through the model per stage, for the whole corpus."""
        return {stage: number * self.factor for stage, number in self.sampled_tokens.items()}


def make_estimate(options: EstimateOptions) -> Estimate:
    """Annotate a sample and extrapolate. Raises ValueError, one line, for what the user has to change."""
    tools = {tool.name: tool for tool in options.tools.make().values()}
    files = look_at_model(options.model.model)
    most = max_text_tokens(files.tokenizer, files.window, tools.values(), options.propose)
    reading = Reading(only=None, factor=1.0, description=f"counted up to {options.ingest.max_documents} documents")
    if options.ingest.max_documents is None:
        corpus = look_at_corpus(options.ingest.corpus, "")
        reading = choose_files(corpus.files, options.max_read * 10**6, options.propose.seed)
    say("estimate", f"reading the corpus, {reading.description}")
    shards = ingest(options.ingest, files.tokenizer, most, only=reading.only)
    sample = draw_sample(shards, options.sample, options.propose.seed)
    if not sample.texts:
        raise UnusableError("the corpus holds no usable text; give another `corpus`")
    # Only tried, before the model is loaded; the recipe opens its own. It makes a folder, so nothing is refused later.
    open_store(options.tools.answers)
    say("estimate", f"annotating a sample of {len(sample.texts):,} texts; the model is loaded first")
    recipe = AnnotateRecipe(options=options, max_text_tokens=most, model_revision=files.revision)
    found = annotate_sample(recipe, list(tools), sample.texts, at_once=options.ingest.shard_size)
    scored: list[Scored] = found.rows[Scored.table]
    return Estimate(
        reading=reading,
        sample=sample,
        num_texts=sample.num_texts * reading.factor,
        tools=[_estimate_tool(name, sample, scored, reading.factor) for name in tools],
        sampled_tokens=found.tokens,
        model_seconds=found.seconds,
        examples=choose_examples(sample.texts, scored),
    )


def _estimate_tool(tool: str, sample: TextSample, scored: Sequence[Scored], factor: float) -> ToolEstimate:
    calls = [row for row in scored if row.tool == tool]
    asked = [row for row in calls if was_asked(row)]
    per_call = sum(row.seconds for row in asked) / len(asked) if asked else 0.0
    will_be_asked = (_extrapolate(sample, asked) * factor).expected
    return ToolEstimate(
        tool=tool,
        calls=_extrapolate(sample, calls) * factor,
        kept=_extrapolate(sample, [row for row in calls if row.is_kept]) * factor,
        false_share=count_chance(calls).false_share,
        asked=will_be_asked,
        seconds=will_be_asked * per_call,
        asked_now=len(asked),
    )


def _extrapolate(sample: TextSample, rows: Sequence[Executed]) -> Total:
    """The total number of such rows in all texts that were read."""
    per_text = Counter(row.text_id for row in rows)
    return estimate_total(
        [(stratum.num_texts, [per_text[text.text_id] for text in stratum.texts]) for stratum in sample.strata]
    )


def workers_at_once(tool: Tool, num_workers: int) -> int:
    """The largest number of calls of a tool that a run has in flight."""
    return num_workers * (1 if tool.one_at_a_time else tool.asking.max_in_flight)
