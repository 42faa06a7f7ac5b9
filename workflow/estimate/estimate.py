"""`toolformer estimate`: estimates what annotating a corpus will yield and cost.

The real stages run on a stratified sample of the texts, in this process. Their results are extrapolated to the whole
corpus: calls and kept calls per tool with 95 % intervals, tokens through the model, hours. With `--run` the estimate
and the sample's rows are kept in the folder of that run: `annotate` takes the rows over (workflow/shard/sampled.py),
and `report` tells what the run cost against what was estimated. Nothing else is written.

Not covered: equal calls are asked once per shard, and a shard has other texts than a portion of the sample.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cyclopts import Parameter

from toolformer_ray.losses.false_share import count_chance
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.stages import Executed, Scored
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.estimate.annotate_sample import AnnotatedSample, annotate_sample, open_all
from toolformer_ray.workflow.estimate.corpus_sample import SampleOptions, sample_corpus
from toolformer_ray.workflow.estimate.examples import choose_examples
from toolformer_ray.workflow.estimate.sample import Reading, TextSample
from toolformer_ray.workflow.shard.counts import was_asked
from toolformer_ray.workflow.totals import Total, estimate_total


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EstimateOptions(SampleOptions):
    """The run that is to be estimated, and how much is tried to find out."""

    run: str = ""
    """Run folder that will be annotated: the estimate is kept there, and annotate with the same settings does not do
    the sample's texts again. By default nothing is kept."""
    tokens_per_second: float | None = None
    """Tokens a second that one device of the real run reads; by default what this one does with the sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tokens_per_second is not None and not self.tokens_per_second > 0:
            raise OptionError("tokens_per_second", self.tokens_per_second, "it must be more than 0")


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
    found: AnnotatedSample
    """What the stages made of the sample."""
    made_by: Mapping[str, Mapping[str, str]]
    """Per stage and tool, the fingerprint of its settings."""

    @property
    def factor(self) -> float:
        """Texts of the corpus per text of the sample."""
        return self.num_texts / len(self.sample.texts)

    @property
    def measured_tokens_per_second(self) -> float:
        """As measured with the sample, on this device."""
        return sum(self.sampled_tokens.values()) / self.model_seconds

    def rate(self, options: EstimateOptions) -> float:
        """Tokens a second of one device, as given or as measured."""
        return options.tokens_per_second or self.measured_tokens_per_second

    @property
    def tokens(self) -> dict[str, float]:
        """Tokens through the model per stage, for the whole corpus."""
        return {stage: number * self.factor for stage, number in self.sampled_tokens.items()}


def make_estimate(options: EstimateOptions) -> Estimate:
    """Annotate a sample and extrapolate. Raises ValueError, one line, for what the user has to change."""
    corpus = sample_corpus(options, "estimate")
    tools = [tool.name for tool in options.tools.make().values()]
    opened = open_all(corpus.recipe, corpus.pipeline)
    found = annotate_sample(opened, tools, corpus.texts.texts, corpus.pipeline, at_once=options.ingest.shard_size)
    scored: list[Scored] = found.rows[Scored.table]
    return Estimate(
        reading=corpus.reading,
        sample=corpus.texts,
        num_texts=corpus.num_texts,
        tools=[_estimate_tool(name, corpus.texts, scored, corpus.reading.factor) for name in tools],
        sampled_tokens=found.tokens,
        model_seconds=found.seconds,
        examples=choose_examples(corpus.texts.texts, scored),
        found=found,
        made_by=corpus.tool_fingerprints,
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
