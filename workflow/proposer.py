"""Who proposes calls: the model that scores them, or another one whose calls that model judges.

Another proposer has workers of its own, so that a strong model may propose what a small one is trained on. What it is
decides the rows of `propose` and none of the losses.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from toolformer_ray.annotate.cutting import max_text_tokens
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.records.errors import OptionError, one_line
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.tools.tool import Tool
from toolformer_ray.workflow.model_files import ModelFiles, look_at_model
from toolformer_ray.workflow.options import AnnotateOptions
from toolformer_ray.workflow.shard.stage import Stage

OptionsT = TypeVar("OptionsT", bound=AnnotateOptions)
TRIES_AT_START = 2
"""How often an endpoint is tried before a run begins: whoever waits at the terminal had better be told soon."""


@dataclass(frozen=True, kw_only=True)
class Proposer:
    """What the driver has to know about somebody else who proposes."""

    options: ProposerOptions
    """With it settled who chooses the places."""
    fingerprint: str
    """What identifies what is proposed: the content of a model's files, or the name of the model at an endpoint."""
    files: ModelFiles | None = None
    """Of a model that is at hand."""


def look_at_proposer(options: ProposerOptions) -> Proposer | None:
    """Find out what has to be known of somebody else who proposes; None if there is nobody. Raises OptionError."""
    if options.proposer is not None:
        files = look_at_model(options.proposer, option="proposer")
        return Proposer(options=options, fingerprint=files.fingerprint, files=files)
    if options.proposer_url is None:
        return None
    places = options.proposer_places or _who_chooses_places(options)
    settled = replace(options, proposer_places=places)
    return Proposer(options=settled, fingerprint=fingerprint("endpoint", options.proposer_model))


def _who_chooses_places(options: ProposerOptions) -> Literal["endpoint", "model"]:
    """The endpoint, if it tells the log-probabilities of a prompt. A chat has none."""
    # The client of HTTP takes time to import, and most runs ask no endpoint.
    from toolformer_ray.annotate.endpoint.client import EndpointClient
    from toolformer_ray.annotate.endpoint.endpoint import gives_log_probs, read_key

    key = read_key(options)
    if options.proposer_chat:
        return "model"
    client = EndpointClient(replace(options, proposer_attempts=TRIES_AT_START), key)
    try:
        return "endpoint" if gives_log_probs(options, client) else "model"
    except OSError as error:
        raise OptionError("proposer_url", options.proposer_url, one_line(error)) from error


def fingerprint_of(proposer: Proposer | None) -> str:
    """What identifies somebody else who proposes; empty if there is nobody."""
    return proposer.fingerprint if proposer else ""


def revision_of(proposer: Proposer | None) -> str | None:
    """The commit of another model on the Hugging Face Hub."""
    return proposer.files.revision if proposer and proposer.files else None


def with_settled(options: OptionsT, proposer: Proposer | None) -> OptionsT:
    """The options of a run, with it settled who chooses the places. One worker asks an endpoint, and counts for all."""
    if proposer is None or proposer.files is not None:
        return options
    workers = replace(options.workers, proposer_workers=1)
    return replace(options, proposer=proposer.options, workers=workers)


def check_chat(options: AnnotateOptions, model: ModelFiles, proposer: Proposer | None) -> None:
    """Raise OptionError if a model at hand cannot be asked in the form of a chat, and shall be."""
    if not options.proposer.proposer_chat or options.proposer.proposer_url is not None:
        return
    files = proposer.files if proposer and proposer.files else model
    if files.tokenizer.chat_template is None:
        remedy = f"{files.tokenizer.name} has no chat template; leave it out, or save one beside its tokenizer"
        raise OptionError("proposer_chat", "given", remedy)
    if options.propose.second_round or options.propose.shown == "whole":
        remedy = "in a chat the text is the beginning of an answer; leave out `second_round`, and show the output alone"
        raise OptionError("proposer_chat", "given", remedy)


def longest_text(model: ModelFiles, proposer: Proposer | None, tools: Collection[Tool], options: ProposeOptions) -> int:
    """How many tokens of the model that scores a text may have, so that it fits the windows of all models at hand.

    Tokens of different models are taken for equally long; a text that after all does not fit the proposer's window is
    dropped there, as `too_long`.
    """
    both = [model, *([proposer.files] if proposer and proposer.files else [])]
    return min(max_text_tokens(files.tokenizer, files.window, tools, options) for files in both)


def with_proposer(pipeline: Sequence[Stage], options: ProposerOptions) -> tuple[Stage, ...]:
    """The pipeline, in which proposing is done by the proposer's own workers if it is another model."""
    if not options.is_another:
        return tuple(pipeline)
    return tuple(replace(stage, needs="proposer") if stage.name == "propose" else stage for stage in pipeline)
