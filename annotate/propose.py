"""Stage 2, propose: where a call could start, and which calls (paper, section 2, "Sampling API calls").

Reads `documents`. Writes `candidates`, each distinct call at a place once, with the loss L_i(epsilon) there.
Drops: `not_offered` (the tool does not want the text), `too_long` (the prompt with this text exceeds the window),
`no_position` (no place above tau_s), `loss_already_low` (a chosen place where L_i(epsilon) < tau_f: losses are
at least 0, so no result could lower it by tau_f, and no call would be kept), `sample_unfinished` (no end marker)
and `sample_malformed` (no call, or another tool's).

The k places are chosen before any is dropped for its loss, so dropping changes nothing that is kept.
What is proposed for a text depends on the text, the tool, the options and the model, not on the other texts.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotate.openings import EncodedText, Opening, distinct_calls, drop_opening, drop_text
from annotate.places import choose_places, is_close_choice
from annotate.prompt import render_demonstrations, render_text_slot
from lm.requests import Place, SampleRequest, ScoreRequest, StartRequest
from lm.weighted_loss import CLOSE_NATS, loss_alone, weighted_loss, weighted_token_indices
from records.stages import Candidate, Document, Dropped
from tools.tool import Tool

if TYPE_CHECKING:
    from lm.model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class ProposeOptions:
    """How calls are sampled; the thresholds tau_s, k and m belong to the tools."""

    seed: int = 0
    """Changes every sample; equal seeds give equal samples."""
    max_call_tokens: int = 64
    """A sample without an end marker after this many tokens is dropped."""
    temperature: float = 1.0
    """Divides the logits before a token is drawn; 1 samples from the model as it is."""
    prune_below: float | None = None
    """The lowest tau_f, in nats, that one may want to sweep to later; None: the tool's tau_f. Lower costs more."""

    def __post_init__(self) -> None:
        if self.max_call_tokens < 1:
            raise ValueError(f"max_call_tokens is {self.max_call_tokens}; it must be at least 1 token")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be more than 0")
        if self.prune_below is not None and not math.isfinite(self.prune_below):
            raise ValueError(f"prune_below is {self.prune_below}; it must be a number of nats, or left out")


def propose(
    documents: Iterable[Document], model: "LanguageModel", tools: Mapping[str, Tool], options: ProposeOptions
) -> tuple[list[Candidate], list[Dropped]]:
    """The distinct calls of every text, tool by tool and in the order of the text, and what was dropped."""
    texts = [_encode(document, model) for document in documents]
    openings: list[Opening] = []
    dropped: list[Dropped] = []
    for tool in tools.values():
        offered, not_offered = _offer(texts, model, tool, options)
        chosen, no_position = _choose(offered, model, tool)
        openings += chosen
        dropped += not_offered + no_position
    _fill_loss_without(openings, model)
    hopeful, already_low = _split_by_loss(openings, model, options)
    dropped += already_low
    for tool in tools.values():
        _fill_samples([opening for opening in hopeful if opening.tool is tool], model, tool, options)
    candidates: list[Candidate] = []
    for opening in hopeful:
        calls, useless = distinct_calls(opening)
        candidates += calls
        dropped += useless
    rank = {text.text_id: number for number, text in enumerate(texts)}
    candidates.sort(key=lambda candidate: rank[candidate.text_id])
    dropped.sort(key=lambda drop: rank[drop.text_id])
    return candidates, dropped


def sample_keys(seed: int, text_id: str, tool: str, token_index: int, num_samples: int) -> list[int]:
    """The randomness of each sample at a place: 128-bit numbers that nothing but the arguments decides."""
    named = [f"{seed}\0{text_id}\0{tool}\0{token_index}\0{number}" for number in range(num_samples)]
    return [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big") for name in named]


def prompt_ids(model: "LanguageModel", tool: Tool) -> list[int]:
    """What every proposal sequence of a tool begins with: the beginning-of-sequence token and the demonstrations."""
    return [*model.tokenizer.bos_ids, *model.tokenizer.encode(render_demonstrations(tool))]


def _encode(document: Document, model: "LanguageModel") -> EncodedText:
    own_ids = model.tokenizer.encode(render_text_slot(document.text))
    return EncodedText(document, model.tokenizer.places(document.text), own_ids)


def _offer(
    texts: Iterable[EncodedText], model: "LanguageModel", tool: Tool, options: ProposeOptions
) -> tuple[list[EncodedText], list[Dropped]]:
    """The texts that the tool wants and the model can take in."""
    num_fixed = len(prompt_ids(model, tool)) + len(model.tokenizer.open_ids) + options.max_call_tokens
    offered, dropped = [], []
    for text in texts:
        num_tokens = len(text.places.ids)
        if not tool.wants(text.document):
            dropped.append(drop_text("not_offered", text, tool))
        elif num_fixed + len(text.own_ids) + num_tokens > model.window:
            dropped.append(drop_text("too_long", text, tool, detail=f"{num_tokens} tokens"))
        else:
            offered.append(text)
    return offered, dropped


def _choose(texts: Sequence[EncodedText], model: "LanguageModel", tool: Tool) -> tuple[list[Opening], list[Dropped]]:
    """The k most probable places above tau_s of each text, and the texts that have none."""
    shared_ids = prompt_ids(model, tool)
    requests = [StartRequest(own_ids=text.own_ids, text_ids=text.places.ids) for text in texts]
    openings: list[Opening] = []
    dropped = []
    for text, request, log_starts in zip(texts, requests, model.start_log_probs(shared_ids, requests), strict=True):
        if is_close_choice(log_starts, text.places.is_place, tool.options):
            log_starts = model.start_log_probs_alone(shared_ids, request)
        chosen = choose_places(log_starts, text.places.is_place, tool.options)
        openings += [Opening(text, tool, index, math.exp(log_starts[index])) for index in chosen]
        if not chosen:
            dropped.append(drop_text("no_position", text, tool))
    return openings, dropped


def _fill_loss_without(openings: Iterable[Opening], model: "LanguageModel") -> None:
    """L_i(epsilon) at every chosen place, from one pass over each text for all places and tools together."""
    groups = _by_text(openings)
    weighted = [sorted({j for opening in group for j in _weighted(opening)}) for group in groups]
    bos_ids = model.tokenizer.bos_ids
    requests = [
        ScoreRequest(
            ids=[*bos_ids, *group[0].text.places.ids[: indices[-1] + 1]], targets=[len(bos_ids) + j for j in indices]
        )
        for group, indices in zip(groups, weighted, strict=True)
    ]
    for group, indices, answer in zip(groups, weighted, model.log_probs(requests), strict=True):
        log_probs = dict(zip(indices, answer, strict=True))
        for opening in group:
            opening.loss_without = weighted_loss(log_probs[j] for j in _weighted(opening))


def _split_by_loss(
    openings: Iterable[Opening], model: "LanguageModel", options: ProposeOptions
) -> tuple[list[Opening], list[Dropped]]:
    """The places where a result could still lower the loss by tau_f, and those where none could."""
    hopeful, dropped = [], []
    for opening in openings:
        bound = opening.tool.options.min_loss_reduction
        bound = bound if options.prune_below is None else min(bound, options.prune_below)
        if abs(opening.loss_without - bound) <= CLOSE_NATS:
            ids = opening.text.places.ids
            opening.loss_without = loss_alone(model, model.tokenizer.bos_ids, ids, opening.token_index)
        if opening.loss_without < bound:
            dropped.append(drop_opening("loss_already_low", opening, detail=f"{opening.loss_without:.4f} nats"))
        else:
            hopeful.append(opening)
    return hopeful, dropped


def _fill_samples(openings: Iterable[Opening], model: "LanguageModel", tool: Tool, options: ProposeOptions) -> None:
    """m samples at every place of one tool; one request a text, so that all its places continue from one pass."""
    groups = _by_text(openings)
    requests = [
        SampleRequest(
            own_ids=group[0].text.own_ids,
            text_ids=group[0].text.places.ids,
            places=[_place(opening, options.seed) for opening in group],
        )
        for group in groups
    ]
    answers = model.sample(
        prompt_ids(model, tool), requests, max_new_tokens=options.max_call_tokens, temperature=options.temperature
    )
    for group, answer in zip(groups, answers, strict=True):
        for opening, samples in zip(group, answer, strict=True):
            opening.samples = samples


def _place(opening: Opening, seed: int) -> Place:
    num_samples = opening.tool.options.num_samples
    keys = sample_keys(seed, opening.text.text_id, opening.tool.name, opening.token_index, num_samples)
    return Place(token_index=opening.token_index, keys=keys)


def _weighted(opening: Opening) -> range:
    return weighted_token_indices(opening.token_index, len(opening.text.places.ids))


def _by_text(openings: Iterable[Opening]) -> list[list[Opening]]:
    groups: dict[str, list[Opening]] = {}
    for opening in openings:
        groups.setdefault(opening.text.text_id, []).append(opening)
    return list(groups.values())
