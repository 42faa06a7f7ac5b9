"""`toolformer teach`: drafts the demonstrations of a tool that comes with a description and a schema alone.

    texts, one half     annotated with the tool's description and the demonstrations of other tools
    kept calls          become drafts: a sentence of the corpus with its call (`workflow.teach.drafts`)
    texts, other half   annotated with each of a few sets of drafts
    the best set        of which the most calls are kept that are not false, is written to a file

With --teacher another, stronger model makes the drafts. They are always tried with --model, which will annotate.

Not covered: a tool of which the model makes no useful call without having seen one. That is said, and demonstrations
have to be written by hand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.estimate.annotate_sample import open_all
from toolformer_ray.workflow.estimate.corpus_sample import SampleOptions, refuse_without_decoys, sample_corpus
from toolformer_ray.workflow.log import say
from toolformer_ray.workflow.model_files import ModelFiles, look_at_model
from toolformer_ray.workflow.recipe import AnnotateRecipe
from toolformer_ray.workflow.shard.stage import Needs
from toolformer_ray.workflow.teach.drafts import FEWEST_DRAFTS, Draft, candidate_sets, find_drafts
from toolformer_ray.workflow.teach.prompts import (
    TaughtPrompt,
    describe,
    is_taught_by_hand,
    untaught_prompts,
    write_prompt,
)
from toolformer_ray.workflow.teach.trial import Trial, annotate_with, best_of, try_prompt


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class TeachOptions(SampleOptions):
    """On which texts and by which model a tool is taught, the one in `tools`."""

    out: Path
    """The file to write, which `--TOOL.demonstrations` of annotate reads. It must not be there."""
    teacher: str | None = None
    """The model that makes the drafts, by default the one that annotates; a folder, a GGUF file or a name."""
    sets: int = 4
    """How many sets of drafts are tried; each costs another half of the sample."""
    per_set: int = 5
    """Demonstrations in a set."""
    anyway: bool = False
    """Draft demonstrations also for a tool that has some written by hand; these are then not shown."""
    sample: int = 80
    """Texts of the corpus: the drafts come of one half, and are tried on the other; --seed decides which."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_without_decoys(self, "demonstrations are chosen by their false share, which decoys tell")
        if other := self.proposer.proposer or self.proposer.proposer_url:
            remedy = "the model that proposes is the one that is taught; give it as `model` and leave this out"
            raise OptionError("proposer" if self.proposer.proposer else "proposer_url", other, remedy)
        for name, least in (("sample", 2), ("sets", 1), ("per_set", 1)):
            if getattr(self, name) < least:
                raise OptionError(name, getattr(self, name), f"it must be at least {least}")
        if self.out.exists():
            raise OptionError("out", self.out, "it is there already and may have been edited; give another file")


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What was drafted, and what came of each set."""

    tool: Tool
    num_texts: int
    """On which each set was tried."""
    drafts: Sequence[Draft]
    trials: Sequence[Trial]

    @property
    def best(self) -> Trial:
        """The one that is written."""
        return best_of(self.trials)


def teach_tool(options: TeachOptions) -> Taught:
    """Draft for the one tool of the options, try and write.

    Raises ValueError, one line, for what the user has to change.
    """
    (tool,) = options.tools.make().values()
    (key,) = options.tools.keys
    _refuse_unfit(key, tool, anyway=options.anyway)
    # What is wrong with the teacher is told before the corpus is read.
    teacher = look_at_model(options.teacher, option="teacher") if options.teacher is not None else None
    corpus = sample_corpus(options, "teach")
    # Neighbours in the sample are alike in source and length, so each half has some of all.
    to_draft, to_try = corpus.texts.texts[::2], corpus.texts.texts[1::2]
    if not to_try:
        raise UnusableError("the corpus holds a single text; give another `corpus`")
    opened = open_all(corpus.recipe)
    teachers = opened if teacher is None else {**opened, "model": _open_teacher(corpus.recipe, options, teacher)}
    drafts = _make_drafts(teachers, tool, to_draft, options)
    trials = _try_sets(opened, tool, drafts, to_try, options)
    taught = Taught(tool=tool, num_texts=len(to_try), drafts=drafts, trials=trials)
    write_prompt(options.out, taught.best.prompt)
    return taught


def _make_drafts(
    teachers: Mapping[Needs, Any], tool: Tool, texts: Sequence[Document], options: TeachOptions
) -> list[Draft]:
    """Drafts, the best first; the second prompt is asked only where the first gives too few for one set."""
    others = [other for other in find_tools().values() if other.name != tool.name and other.parameters]
    rows: list[Scored] = []
    drafts: list[Draft] = []
    for prompt in untaught_prompts(tool, others, options.propose.shown):
        say("teach", f"drafts of {len(texts):,} texts, without demonstrations of {tool.name}")
        rows += annotate_with(teachers, tool.name, prompt, texts, options.ingest.shard_size)
        drafts = find_drafts(rows, texts)
        if len(drafts) >= options.per_set:
            break
    if len(drafts) < FEWEST_DRAFTS:
        raise UnusableError(
            f"{len(drafts)} of {len(rows):,} calls of {tool.name} could be a demonstration; give a larger `sample`, "
            "another `teacher`, or write demonstrations by hand"
        )
    return drafts


def _refuse_unfit(key: str, tool: Tool, *, anyway: bool) -> None:
    if is_taught_by_hand(tool) and not anyway:
        remedy = "it has demonstrations written by hand, which are the better ones; give `anyway` to draft others"
        raise OptionError("tool", key, remedy)
    if not tool.description:
        raise OptionError("tool", key, "it has no description from which calls could be drafted")


def _open_teacher(recipe: AnnotateRecipe, options: TeachOptions, files: ModelFiles) -> Any:
    """What workers with the teacher's model have."""
    other = replace(options, model=replace(options.model, model=options.teacher or options.model.model))
    return replace(recipe, options=other, model_revision=files.revision).open("model")


def _try_sets(
    opened: Mapping[Needs, Any], tool: Tool, drafts: Sequence[Draft], texts: Sequence[Document], options: TeachOptions
) -> list[Trial]:
    trials = []
    sets = list(candidate_sets(drafts, options.per_set, options.sets))
    for number, chosen in enumerate(sets, 1):
        say("teach", f"set {number} of {len(sets)}, {len(chosen)} drafts of {len(drafts):,}", set=number)
        prompt = TaughtPrompt(instruction=describe(tool), demonstrations=[draft.text for draft in chosen])
        trials.append(try_prompt(opened, tool.name, prompt, texts, options.ingest.shard_size))
    return trials
