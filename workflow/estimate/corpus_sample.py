"""A sample of a corpus that is to be annotated, to find out something about the run beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from cyclopts import Parameter

from toolformer_ray.annotate.ingest import ingest
from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.tools.asking.answer_store import open_store
from toolformer_ray.workflow.book.settings import resolve_settings
from toolformer_ray.workflow.corpus import look_at_corpus
from toolformer_ray.workflow.estimate.sample import Reading, TextSample, choose_files, draw_sample
from toolformer_ray.workflow.log import ProgressOptions, say
from toolformer_ray.workflow.model_files import look_at_model
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.proposer import (
    check_chat,
    fingerprint_of,
    longest_text,
    look_at_proposer,
    revision_of,
    with_proposer,
    with_settled,
)
from toolformer_ray.workflow.recipe import AnnotateRecipe
from toolformer_ray.workflow.shard.stage import Stage

_UNUSED = Parameter(show=False)
"""Options of annotate that change nothing here, accepted so that its command can be given as it is."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SampleOptions(AnnotateOptions):
    """A run of annotate that is not made yet, and how much of its corpus is tried."""

    run: Annotated[str, _UNUSED] = ""
    progress: Annotated[ProgressOptions, Parameter(name="*", show=False)] = field(default_factory=ProgressOptions)
    change_settings: Annotated[bool, _UNUSED] = False
    forget_missing_files: Annotated[bool, _UNUSED] = False
    retry_failed: Annotated[bool, _UNUSED] = False
    sample: int = 200
    """Texts that are annotated to find out; --seed decides which. Four times as many halve the intervals."""
    max_read: int = 512
    """Megabytes of the corpus that are read; of a larger one a random choice of whole files, its texts extrapolated."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample < 1:
            raise OptionError("sample", self.sample, "it must be at least 1 text")
        if self.max_read < 1:
            raise OptionError("max_read", self.max_read, "it must be at least 1 megabyte")


@dataclass(frozen=True, kw_only=True)
class CorpusSample:
    """Texts of a corpus, and what opens the model and the tools for them."""

    reading: Reading
    texts: TextSample
    recipe: AnnotateRecipe
    tool_fingerprints: Mapping[str, Mapping[str, str]]
    """Per stage and tool, what decides its rows."""
    pipeline: Sequence[Stage]
    """With the proposer's own workers, if there is one."""

    @property
    def num_texts(self) -> float:
        """In the whole corpus."""
        return self.texts.num_texts * self.reading.factor


def sample_corpus(options: SampleOptions, event: str) -> CorpusSample:
    """Read the corpus once and draw the sample. Raises ValueError, one line, for what the user has to change.

    `event` names in the log the command that does it.
    """
    tools = options.tools.make()
    files, proposer = look_at_model(options.model.model), look_at_proposer(options.proposer)
    check_chat(options, files, proposer)
    most = longest_text(files, proposer, tools.values(), options.propose)
    reading = Reading(only=None, factor=1.0, description=f"counted up to {options.ingest.max_documents} documents")
    if options.ingest.max_documents is None:
        corpus = look_at_corpus(options.ingest.corpus, "")
        reading = choose_files(corpus.files, options.max_read * 10**6, options.propose.seed)
    say(event, f"reading the corpus, {reading.description}")
    shards = ingest(options.ingest, files.tokenizer, most, only=reading.only)
    texts = draw_sample(shards, options.sample, options.propose.seed)
    if not texts.texts:
        raise UnusableError("the corpus holds no usable text; give another `corpus`")
    # Only tried, before the model is loaded; the recipe opens its own. It makes a folder, so nothing is refused later.
    open_store(options.tools.answers)
    say(event, f"annotating a sample of {len(texts.texts):,} texts; the model is loaded first")
    recipe = AnnotateRecipe(
        options=with_settled(options, proposer),
        max_text_tokens=most,
        model_revision=files.revision,
        proposer_revision=revision_of(proposer),
    )
    pipeline = with_proposer(PIPELINE, options.proposer)
    made_by = resolve_settings(
        pipeline, recipe.options, tools, files.fingerprint, most, fingerprint_of(proposer)
    ).tool_fingerprints
    return CorpusSample(reading=reading, texts=texts, recipe=recipe, pipeline=pipeline, tool_fingerprints=made_by)


def refuse_without_decoys(options: AnnotateOptions, reason: str) -> None:
    """Raise OptionError if the filter makes no decoys; `reason` says what they are needed for."""
    if not options.filter.decoys_needed:
        remedy = f"{reason}; give decoys or both, and leave `as_in_paper` out"
        raise OptionError("filter", options.filter.filter, remedy)
