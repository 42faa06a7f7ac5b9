"""`toolformer promote`: which functions that a run wrote are worth being tools of their own.

    answered calls of Python      the functions in them, equal ones together (`workflow.promote.collect`)
    a sample of the run's texts   annotated with each function as a tool, by the run's model and settings
    gain                          nats spared, net of chance, in other texts of the sample than those that teach it
    cost                          nats that the model needs to write it once (`workflow.promote.cost`)

What gains more than it costs is written to a file, which `--tools python:FILE` takes. The gain is that of the texts
that were tried and of no more, so a larger sample promotes more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, cast

from cyclopts import Parameter

from toolformer_ray.losses.verdict import KeepRule
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.stages import Augmented, Document, Scored
from toolformer_ray.tools.brought.brought_tool import Brought
from toolformer_ray.tools.brought.from_functions import brought_function
from toolformer_ray.tools.brought.function_file import PromotedFunction, write_functions
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.decoys.draw import draw
from toolformer_ray.tools.python import Python
from toolformer_ray.workflow.book.settings import open_run
from toolformer_ray.workflow.estimate.annotate_sample import annotate_sample, open_all
from toolformer_ray.workflow.estimate.corpus_sample import SampleOptions, refuse_without_decoys
from toolformer_ray.workflow.log import say
from toolformer_ray.workflow.model_files import look_at_model
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.promote.collect import Collected, collect_functions, named_apart
from toolformer_ray.workflow.promote.cost import costs_in_nats
from toolformer_ray.workflow.promote.entry import make_entry
from toolformer_ray.workflow.promote.verdict import NOT_TRIED, PROMOTED, Tried, weigh
from toolformer_ray.workflow.proposer import longest_text, look_at_proposer, revision_of, with_proposer, with_settled
from toolformer_ray.workflow.recipe import AnnotateRecipe, OpenedModel

PYTHON_KEY = "python"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PromoteOptions(SampleOptions):
    """How the functions of a run are tried; what is not said is as the run was made."""

    out: Path = Path("functions.toml")
    """The file to write, for `--tools python:FILE`. It must not be there."""
    most: int = 8
    """Functions that are tried, those first that were written in most texts."""
    json: bool = False
    """Print one JSON object instead of a table."""
    sample: int = 40
    """Texts of the run on which they are tried; --seed decides which."""
    max_read: Annotated[int, Parameter(show=False)] = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_without_decoys(self, "what a function spares is compared with decoys")
        if self.most < 1:
            raise OptionError("most", self.most, "it must be at least 1 function")
        if self.out.exists():
            raise OptionError("out", self.out, "it is there already and may have been edited; give another file")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One function of the run, and what was decided."""

    name: str
    collected: Collected
    verdict: str
    """One of those of `workflow.promote.verdict`, or why it cannot be a tool."""
    tried: Tried | None = None
    """None if it was not tried."""
    cost: float | None = None
    """Nats; None if it was not tried."""


def promote_functions(location: str, options: PromoteOptions) -> list[Judged]:
    """Judge the functions of a run and write those that are promoted.

    Raises ValueError, one line, for what the user has to change.
    """
    if PYTHON_KEY not in options.tools.keys:
        raise OptionError(
            "tools", ",".join(options.tools.keys), "the run has no calls of python, which write functions"
        )
    documents, rows = _read_run(location)
    found = collect_functions(rows)
    fit = [one for one in found if one.function.fault is None]
    say("promote", f"{len(found):,} functions in {len(rows):,} calls, {len(fit):,} of them fit to be a tool")
    tried = fit[: options.most]
    judged, entries = _try(tried, documents, options) if tried else ([], [])
    judged += [_left(one, NOT_TRIED) for one in fit[options.most :]]
    judged += [_left(one, one.function.fault or "") for one in found if one.function.fault is not None]
    promoted = [
        replace(entry, told=_told(one)) for entry, one in zip(entries, judged, strict=False) if one.verdict == PROMOTED
    ]
    if promoted:
        write_functions(options.out, promoted)
    return judged


def _read_run(location: str) -> tuple[list[Document], list[Scored]]:
    """The texts that are through all stages, and their calls."""
    run = open_run(location)
    through = run.shards(Augmented.table)
    if not through:
        raise UnusableError(f"no text of {run.shown} is through all stages; `toolformer status` tells how far it is")
    documents = [row for shard in through for row in run.read_shard(Document.table, shard, Document)]
    return documents, [row for shard in through for row in run.read_shard(Scored.table, shard, Scored)]


def _try(
    found: Sequence[Collected], documents: Sequence[Document], options: PromoteOptions
) -> tuple[list[Judged], list[PromotedFunction]]:
    named = named_apart([one.function for one in found], {*find_tools(), *options.tools.keys})
    entries = [make_entry(one, function, documents) for one, function in zip(found, named, strict=True)]
    brought = {tool.key: tool for tool in (brought_function(entry, str(options.out)) for entry in entries)}
    seed = options.propose.seed
    texts = sorted(documents, key=lambda text: draw(2**63, seed, text.text_id))[: options.sample]
    rows, model, trial = _annotate(texts, brought, options)
    contents = {document.text_id: document.text for document in documents}
    python = options.tools.make()[PYTHON_KEY]
    costs = costs_in_nats(found, contents, python, model.model, options.propose.shown)
    judged = []
    for one, entry, cost, tool in zip(found, entries, costs, trial.options.tools.make().values(), strict=True):
        rule = KeepRule.of(tool, options.filter.filter)
        own = [row for row in rows if row.tool == tool.name]
        tried = weigh(own, one.teachers, [text.text_id for text in texts], rule)
        verdict = tried.verdict(cost)
        judged.append(Judged(name=entry.name, collected=one, verdict=verdict, tried=tried, cost=cost))
    return judged, entries


def _annotate(
    texts: Sequence[Document], brought: Mapping[str, Brought], options: PromoteOptions
) -> tuple[list[Scored], OpenedModel, AnnotateRecipe]:
    """The judged calls of the functions as tools, which are taught and limited as Python is."""
    files, proposer = look_at_model(options.model.model), look_at_proposer(options.proposer)
    given = {name: value for name, value in options.tools.settings.get(PYTHON_KEY, {}).items() if name in _SHARED}
    tools = replace(options.tools, keys=tuple(brought), brought=brought, settings=dict.fromkeys(brought, given))
    tried = replace(with_settled(options, proposer), tools=tools)
    recipe = AnnotateRecipe(
        options=tried,
        max_text_tokens=longest_text(files, proposer, tools.make().values(), options.propose),
        model_revision=files.revision,
        proposer_revision=revision_of(proposer),
    )
    pipeline = with_proposer(PIPELINE, options.proposer)
    opened = open_all(recipe, pipeline)
    names = [tool.name for tool in tools.make().values()]
    say("promote", f"trying {len(names):,} functions on {len(texts):,} texts")
    found = annotate_sample(opened, names, texts, pipeline, at_once=options.ingest.shard_size, event="promote")
    return found.rows[Scored.table], cast("OpenedModel", opened["model"]), recipe


_SHARED = {*vars(Python.teaching), *vars(Python.Options())} - {"demonstrations"}
"""Options that a function has from Python; Python's demonstrations show how Python is called."""


def _left(one: Collected, why: str) -> Judged:
    return Judged(name=one.function.name, collected=one, verdict=why)


def _told(one: Judged) -> str:
    assert one.tried is not None and one.cost is not None  # noqa: S101  it is promoted
    return (
        f"Spares {one.tried.net:.1f} nats in {one.tried.num_texts} texts and costs {one.cost:.1f} to write; written in "
        f"{len(one.collected.texts)}."
    )
