"""What decides the rows of each stage, hashed to fingerprints: docs/resuming.md.

These are its options and version, the model's files and dtype, what the tools are taught and their thresholds, the
tools' versions, and the hashes of their tables, indexes and model folders. How the work is distributed (workers,
threads, token budget, device, cluster, how often and how long a tool is asked) decides no row.

Each tool's share of a stage has a fingerprint of its own, for `workflow.shard.reuse`. It leaves out the other tools,
the documents, whose hash is added per shard, and the verdict, which can be made again from the same losses.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.annotate.proposer_options import CHANGES_NO_ROW
from toolformer_ray.losses.criteria import THRESHOLDS
from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.fingerprint import as_before, fingerprint
from toolformer_ray.records.locations import without_keys
from toolformer_ray.tools.tool import Tool, is_only_location
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.shard.stage import Stage

CHOOSING = ("min-open-probability", "max-places", "num-samples")
"""Options of every tool that decide which calls are proposed."""
DECOYS_VERSION = 1
"""Raise it when decoys change, such as the words of which they are made."""
_SECRET = re.compile(r"(^|_)(key|token|secret|password)$")


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """Everything that decides the rows of a run."""

    options: AnnotateOptions
    tools: Mapping[str, Tool]
    """By key, in the order in which they are proposed."""
    tool_data: Mapping[str, str]
    """Per key, an identifier of the data behind the tool's answers, such as an index; empty if there is none."""
    model_fingerprint: str
    """Hash of the model's configuration, weights and tokenizer."""
    max_text_tokens: int
    """Longer texts are cut."""
    proposer_fingerprint: str = ""
    """The same of the model that proposes; empty if the model that scores does."""

    def bound(self, key: str) -> float:
        """The threshold of the filter below which a tool's calls are pruned."""
        return self.rule(key).pruning_bound(self.options.propose.prune_below)

    def rule(self, key: str) -> KeepRule:
        """By which a tool's calls are kept."""
        return KeepRule.of(self.tools[key], self.options.filter.filter)


def fingerprint_tools(pipeline: Sequence[Stage], inputs: RunInputs) -> dict[str, dict[str, str]]:
    """Per stage and name of a tool, the fingerprint of the tool's share; only stages whose rows belong to tools."""
    return {
        stage.name: {
            tool.name: fingerprint(stage.version, *stage.tool_settings(inputs, key))
            for key, tool in inputs.tools.items()
        }
        for stage in pipeline
        if stage.tool_settings
    }


def fingerprint_stages(
    pipeline: Sequence[Stage], inputs: RunInputs, by_tool: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """The fingerprint of each stage. `by_tool` is what `fingerprint_tools` returns."""
    return {stage.name: fingerprint(stage.name, stage.version, _decisive(stage, inputs, by_tool)) for stage in pipeline}


def _decisive(stage: Stage, inputs: RunInputs, by_tool: Mapping[str, Mapping[str, str]]) -> object:
    own = stage.settings(inputs) if stage.settings else ()
    if stage.name not in by_tool:
        return own
    # The order in which tools are proposed is the order of the rows.
    in_order = list(by_tool[stage.name].items())
    return (in_order, own) if own else in_order


def corpus_settings(inputs: RunInputs) -> object:
    """Ingest: how the corpus is read and cut. Its files are compared in `workflow.corpus`."""
    reading = {name: value for name, value in plain_options(inputs.options.ingest).items() if name != "corpus"}
    return reading, inputs.model_fingerprint, inputs.max_text_tokens


def proposal_settings(inputs: RunInputs, key: str) -> tuple[object, ...]:
    """Propose: whoever proposes, how calls are sampled, how the tool is taught, its thresholds."""
    tool, teaching = inputs.tools[key], plain_options(inputs.tools[key].teaching)
    sampling = {name: value for name, value in plain_options(inputs.options.propose).items() if name != "prune-below"}
    taught = (tool.name, tool.instruction, tuple(tool.demonstrations), *filter(None, [tool.source]))
    thresholds = {name: teaching[name] for name in CHOOSING if name in teaching}
    # Calls of an expensive tool are pruned before it is asked. Another model than the one that scores prunes nothing;
    # where an endpoint proposes, the model that scores is at hand.
    pruning = (None, False) if inputs.options.proposer.proposer else (inputs.bound(key), tool.is_expensive)
    offering = (pruning[1], (_own_options(tool), inputs.tool_data[key]) if tool.wants_by_data else ())
    return (*_proposer(inputs), sampling, taught, thresholds, pruning[0], offering)


def answer_settings(inputs: RunInputs, key: str) -> tuple[object, ...]:
    """Execute: the tool, and the data behind its answers."""
    tool = inputs.tools[key]
    return ((tool.name, tool.version, _own_options(tool), inputs.tool_data[key]),)


def decoy_settings(inputs: RunInputs) -> object:
    """Execute: the decoys, which are made again without asking a tool; none with the paper's filter."""
    options = inputs.options.filter
    return ("decoys", DECOYS_VERSION, options.decoys_needed) if options.decoys_needed else ()


def loss_settings(inputs: RunInputs, key: str) -> tuple[object, ...]:
    """Score, without the verdict: the model and which losses are computed."""
    tool = inputs.tools[key]
    placing = ("in place",) if inputs.options.propose.second_round else ()
    # L(e(c, ε)) of an expensive tool's call is known before it is asked, so it is there whatever L⁺ is.
    # The decoys themselves are compared row by row.
    judged_by = {name: value for name, value in filter_options(inputs.options).items() if name != "num-decoys"}
    return _model(inputs), tool.name, (inputs.bound(key), tool.is_expensive, *placing), judged_by


def verdict_settings(inputs: RunInputs) -> object:
    """Score: what decides the verdict on given losses."""
    return {tool.name: inputs.rule(key).decisive for key, tool in inputs.tools.items()}


def filter_options(options: AnnotateOptions) -> dict[str, Any]:
    """The options of the filter; the paper's has none."""
    return {} if options.filter.filter == "paper" else plain_options(options.filter)


def plain_teaching(tool: Tool, options: AnnotateOptions) -> dict[str, Any]:
    """How a tool is taught, as `plain_options` gives it, without thresholds that the filter does not read."""
    read = THRESHOLDS[options.filter.filter]
    return plain_options(tool.teaching, leaving_out=[name for name in THRESHOLDS["both"] if name not in read])


def plain_own_options(tool: Tool) -> dict[str, Any]:
    """A tool's own options as `plain_options` gives them, without those that change no answer."""
    return plain_options(tool.options, leaving_out=tool.changes_no_answer)


def plain_options(options: Any, leaving_out: Collection[str] = ()) -> dict[str, Any]:
    """An options record by the names of the command line, without secrets and without options that were added later
    and are at their defaults."""
    unchanged = as_before(options)
    return {
        name.replace("_", "-"): _written(value)
        for name, value in vars(options).items()
        if name not in leaving_out and name not in unchanged and not is_secret(name)
    }


def is_secret(name: str) -> bool:
    """Whether an option of this name holds what may be written nowhere."""
    return bool(_SECRET.search(name))


def _model(inputs: RunInputs) -> tuple[str, str]:
    return inputs.model_fingerprint, inputs.options.model.dtype


def _proposer(inputs: RunInputs) -> tuple[object, ...]:
    """Whoever proposes, and the model to whose token borders calls are moved; the losses do not depend on it."""
    asking = plain_options(inputs.options.proposer, leaving_out=("proposer", "proposer_url", *CHANGES_NO_ROW))
    if not inputs.proposer_fingerprint and not asking:
        return (_model(inputs),)
    return _model(inputs), "proposer", inputs.proposer_fingerprint, asking


def _own_options(tool: Tool) -> dict[str, Any]:
    """The options that only this tool has, without those that only say where its data lie."""
    own = plain_own_options(tool)
    return {name: value for name, value in own.items() if not is_only_location(tool, name.replace("-", "_"))}


def _written(value: Any) -> Any:
    if isinstance(value, str):
        return without_keys(value)
    return [_written(entry) for entry in value] if isinstance(value, tuple | list) else value
