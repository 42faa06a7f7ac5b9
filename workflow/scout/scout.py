"""`toolformer scout`: which tools pay on a corpus, from a sample of its texts.

The sample is the one of `toolformer estimate`, and runs through the real stages in the same way, but tool by tool, so
that the time which the model takes can be told of each. The rows are those of all tools together, since what is
proposed for a text and a tool depends on nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cyclopts import Parameter

from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.stages import Scored
from toolformer_ray.workflow.estimate.annotate_sample import annotate_sample, open_all
from toolformer_ray.workflow.estimate.corpus_sample import (
    CorpusSample,
    SampleOptions,
    refuse_without_decoys,
    sample_corpus,
)
from toolformer_ray.workflow.log import say
from toolformer_ray.workflow.scout.league import ToolScore, make_league


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScoutOptions(SampleOptions):
    """The run whose tools are to be compared, and how much is tried to find out."""

    json: bool = False
    """Print one JSON object instead of a table."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_without_decoys(self, "what a tool spares is compared with decoys")


@dataclass(frozen=True, kw_only=True)
class Scouted:
    """What the sample told."""

    corpus: CorpusSample
    tools: Sequence[ToolScore]
    """By rank."""


def scout_tools(options: ScoutOptions) -> Scouted:
    """Annotate a sample with each tool. Raises ValueError, one line, for what the user has to change."""
    corpus = sample_corpus(options, "scout")
    tools = {tool.name: tool for tool in options.tools.make().values()}
    opened = open_all(corpus.recipe, corpus.pipeline)
    scored: dict[str, list[Scored]] = {}
    model_seconds: dict[str, float] = {}
    for number, name in enumerate(tools, 1):
        say("scout", f"{name}, tool {number} of {len(tools)}", tool=name)
        at_once = options.ingest.shard_size
        texts = corpus.texts.texts
        found = annotate_sample(opened, [name], texts, corpus.pipeline, at_once=at_once, event="scout")
        scored[name], model_seconds[name] = found.rows[Scored.table], found.seconds
    league = make_league(
        corpus.texts.weights,
        scored,
        {name: KeepRule.of(tool, options.filter.filter) for name, tool in tools.items()},
        model_seconds,
        options.propose.seed,
    )
    return Scouted(corpus=corpus, tools=league)
