"""What decides the rows of each stage, as fingerprints: for the stage as a whole, and for each tool's share of it.

A tool's share is what `workflow.shard.reuse` may take over. So it leaves out the other tools, the documents (they
are added per shard), and of scoring the verdict, which is spoken anew on the same losses.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import astuple
from typing import Any

from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.locations import without_keys
from toolformer_ray.tools.tool import Tool, is_only_location
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.pipeline import PIPELINE

CHOOSING = ("min-open-probability", "max-places", "num-samples")
"""Options of every tool that decide which calls are proposed."""
_SECRET = re.compile(r"(^|_)(key|token|secret|password)$")


def tool_fingerprints(
    options: AnnotateOptions, tools: Mapping[str, Tool], tool_data: Mapping[str, str], model_fingerprint: str
) -> Mapping[str, Mapping[str, str]]:
    """What decides a tool's proposals, answers and losses, whatever the other tools are."""
    version = {stage.name: stage.version for stage in PIPELINE}
    model = (model_fingerprint, options.model.dtype)
    sampling = {name: value for name, value in plain_propose_options(options).items() if name != "prune-below"}
    placing = ("in place",) if options.propose.second_round else ()
    proposing, executing, scoring = {}, {}, {}
    for key, tool in tools.items():
        teaching = plain_options(tool.teaching)
        thresholds = {name: teaching[name] for name in CHOOSING}
        own = {
            name: value
            for name, value in plain_own_options(tool).items()
            if not is_only_location(tool, name.replace("-", "_"))
        }
        answering = (tool.name, tool.version, own, tool_data[key])
        taught = (tool.name, tool.instruction, tuple(tool.demonstrations))
        bound = KeepRule.of(tool).pruning_bound(options.propose.prune_below)
        # Calls of an expensive tool are pruned before it is asked.
        offering = (tool.is_expensive, (own, tool_data[key]) if tool.wants_by_data else ())
        proposing[tool.name] = fingerprint(version["propose"], model, sampling, taught, thresholds, bound, offering)
        executing[tool.name] = fingerprint(version["execute"], answering)
        # L(e(c, ε)) of an expensive tool's call is known before it is asked, so it is there whatever L⁺ is.
        pruning = (bound, tool.is_expensive, *placing)
        scoring[tool.name] = fingerprint(version["score"], model, tool.name, pruning, screen_options(options))
    return {"propose": proposing, "execute": executing, "score": scoring}


def stage_fingerprints(
    options: AnnotateOptions,
    tools: Mapping[str, Tool],
    by_tool: Mapping[str, Mapping[str, str]],
    model_fingerprint: str,
    max_text_tokens: int,
) -> Mapping[str, str]:
    reading = {name: value for name, value in plain_options(options.ingest).items() if name != "corpus"}
    verdicts = {tool.name: astuple(KeepRule.of(tool)) for tool in tools.values()}
    # The order in which tools are proposed is the order of the rows.
    in_order = {stage: list(fingerprints.items()) for stage, fingerprints in by_tool.items()}
    made_from: Mapping[str, object] = {
        "ingest": (reading, model_fingerprint, max_text_tokens),
        "propose": in_order["propose"],
        "execute": in_order["execute"],
        "score": (in_order["score"], verdicts),
        "interleave": (),
    }
    return {stage.name: fingerprint(stage.name, stage.version, made_from[stage.name]) for stage in PIPELINE}


def plain_propose_options(options: AnnotateOptions) -> dict[str, Any]:
    """The options of proposing, without a second round where there is none: older runs do not know of it."""
    plain = plain_options(options.propose)
    return plain if options.propose.second_round else {k: v for k, v in plain.items() if k != "second-round"}


def screen_options(options: AnnotateOptions) -> dict[str, Any]:
    """The options of the screen, where there is one: without it, they decide nothing."""
    return {} if options.screen.screen_margin is None else plain_options(options.screen)


def plain_own_options(tool: Tool) -> dict[str, Any]:
    """A tool's own options as `plain_options` gives them, without those that change no answer."""
    return plain_options(tool.options, leaving_out=tool.changes_no_answer)


def plain_options(options: Any, leaving_out: Collection[str] = ()) -> dict[str, Any]:
    """An options record by the names of the command line, without secrets."""
    return {
        name.replace("_", "-"): _written(value)
        for name, value in vars(options).items()
        if name not in leaving_out and not _SECRET.search(name)
    }


def _written(value: Any) -> Any:
    if isinstance(value, str):
        return without_keys(value)
    return [_written(entry) for entry in value] if isinstance(value, tuple | list) else value
