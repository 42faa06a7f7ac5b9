"""Stage 2, propose: where a call could start, and which calls (paper, section 2, "Sampling API calls").

Reads `documents`. Writes `candidates`, each distinct call at a place once, with the loss L_i(epsilon) there.
Drops: `not_offered` (the tool does not want the text), `too_long` (the prompt with this text exceeds the window),
`no_position` (no place above tau_s), `loss_already_low` (a chosen place where L_i(epsilon) is below the pruning bound,
so that no result could lower it by as much), `sample_unfinished` (no end marker), `sample_malformed` (no call, or
another tool's) and, for tools that are expensive to ask, `loss_already_low_with_call` (a call where L_i(e(c, epsilon))
is below the bound). The pruning bound is the lower of the filter's threshold and `prune_below`; with decoys no
call is dropped for its L_i(e(c, epsilon)). Where another model scores, its losses are not known here and drop nothing,
and calls are moved to its token borders (annotate/borders.py).

The k places are chosen before any is dropped for its loss, so dropping changes nothing that is kept.
What is proposed for a text depends on the text, the tool, the options and the model, not on the other texts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from toolformer_ray.annotate.borders import move_to_borders
from toolformer_ray.annotate.openings import EncodedText, distinct_calls
from toolformer_ray.annotate.portion import Portion
from toolformer_ray.annotate.prompt import render_text_slot
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.pruning import Found, drop_hopeless_calls
from toolformer_ray.lm.requests import Prompt, Sample
from toolformer_ray.losses.options import FilterName
from toolformer_ray.records.calls import CALL_ARROW
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel
    from toolformer_ray.lm.requests import ChoosePlaces
    from toolformer_ray.lm.tokenizer import TextTokenizer

TEXTS_AT_ONCE = 64
"""How many texts form a portion. The model's hidden states of one portion are in memory at a time; samples of one
portion are still written while the next is read."""


def propose(
    documents: Iterable[Document],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    options: ProposeOptions,
    filter_name: FilterName = "paper",
    *,
    scorer: "TextTokenizer | None" = None,
    is_chat: bool = False,
) -> tuple[list[Candidate], list[Dropped]]:
    """The distinct calls of every text, tool by tool and in the order of the text, and what was dropped.

    `scorer` is the tokenizer of the model that scores, if that is another one: calls are moved to its token borders,
    and none is dropped for its losses, which only that model has.

    `is_chat`: whether the demonstrations are shown as turns of a chat.

    All texts are one stream through the model: it reads the next portion when there is room for more samples. It asks
    for the next only once the places of this whole portion are chosen (`LanguageModel.stream_calls`). Choosing is all
    that needs the losses of the texts, so these are forgotten then.
    """
    texts = [encode_text(document, model, options) for document in documents]
    is_scorer = scorer is None
    portions: list[Portion] = []

    def stream() -> Iterator[tuple[Sequence[Prompt], "ChoosePlaces"]]:
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            some = texts[first : first + TEXTS_AT_ONCE]
            portion = Portion(some, model, options, filter_name, is_scorer=is_scorer, is_chat=is_chat)
            for tool in tools.values():
                portion.offer(tool)
            portions.append(portion)
            yield [asked.prompt for asked in portion.asked], portion.choose
            portion.forget_texts()

    answers = model.stream_calls(
        stream(),
        max_new_tokens=options.max_call_tokens,
        temperature=options.temperature,
        # After the arrow, a model that has learned from calls with results goes on with a result of its own making.
        stop=CALL_ARROW.rstrip() if options.second_round else None,
    )
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for portion, answer in zip(portions, answers, strict=True):
        found, lost = collect(portion, answer, model, options)
        candidates += found
        dropped += lost
    if scorer is not None:
        return move_to_borders(candidates, dropped, [text.document for text in texts], scorer)
    return candidates, dropped


def collect(
    portion: "Portion", answer: Sequence[Sequence[Sequence[Sample]]], model: "LanguageModel", options: ProposeOptions
) -> tuple[list[Candidate], list[Dropped]]:
    """The candidates and drops of a portion, in the order of its texts."""
    dropped = [*portion.dropped]
    found: list[Found] = []
    for asked, places in zip(portion.asked, answer, strict=True):
        for opening, samples in zip(asked.openings, places, strict=True):
            calls, useless = distinct_calls(opening, samples)
            found += [(opening, call) for call in calls]
            dropped += useless
    candidates = [call for _, call in found]
    if portion.filter_name == "paper" and portion.is_scorer:
        candidates, hopeless = drop_hopeless_calls(found, model, options.prune_below, in_place=options.second_round)
        dropped += hopeless
    rank = {text.document.text_id: number for number, text in enumerate(portion.texts)}
    candidates.sort(key=lambda candidate: rank[candidate.text_id])
    dropped.sort(key=lambda drop: rank[drop.text_id])
    return candidates, dropped


def encode_text(document: Document, model: "LanguageModel", options: ProposeOptions) -> EncodedText:
    """A document as the model reads it."""
    is_shown = options.shown == "whole" and not options.second_round
    own_ids = model.tokenizer.encode(render_text_slot(document.text)) if is_shown else []
    return EncodedText(document, model.tokenizer.places(document.text), own_ids)
