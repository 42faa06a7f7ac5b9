"""Stage 2, propose: where a call could start, and which calls (paper, section 2, "Sampling API calls").

Reads `documents`. Writes `candidates`, each distinct call at a place once, with the loss L_i(epsilon) there.
Drops: `not_offered` (the tool does not want the text), `too_long` (the prompt with this text exceeds the window),
`no_position` (no place above tau_s), `loss_already_low` (a chosen place where L_i(epsilon) < tau_f: losses are
at least 0, so no result could lower it by tau_f, and the call would not be kept), `sample_unfinished` (no end marker)
and `sample_malformed` (no call, or another tool's).

The k places are chosen before any is dropped for its loss, so dropping changes nothing that is kept.
What is proposed for a text depends on the text, the tool, the options and the model, not on the other texts.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from annotate.places import choose_places, is_close_choice
from annotate.prompt import render_demonstrations, render_text_slot
from lm.requests import Place, Sample, SampleRequest, ScoreRequest, StartRequest
from lm.weighted_loss import CLOSE_NATS, loss_alone, weighted_loss, weighted_token_indices
from records.calls import parse_sample
from records.stages import Candidate, Document, Dropped
from tools.tool import Tool

if TYPE_CHECKING:
    from lm.model import LanguageModel
    from lm.tokenizer import Places

_DETAIL_CHARS = 200


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


@dataclass(frozen=True)
class _Text:
    document: Document
    places: "Places"


@dataclass
class _Opening:
    """A chosen place: calls of one tool may start before one token of one text."""

    text: _Text
    tool: Tool
    token_index: int
    open_probability: float
    loss_without: float = math.nan
    samples: Sequence[Sample] = field(default_factory=list)

    @property
    def char_offset(self) -> int:
        return self.text.places.char_offsets[self.token_index]


def propose(
    documents: Iterable[Document], model: "LanguageModel", tools: Mapping[str, Tool], options: ProposeOptions
) -> tuple[list[Candidate], list[Dropped]]:
    """The distinct calls of every text, tool by tool and in the order of the text, and what was dropped."""
    texts = [_Text(document, model.tokenizer.places(document.text)) for document in documents]
    openings: list[_Opening] = []
    dropped: list[Dropped] = []
    for tool in tools.values():
        offered, not_offered = _offer(texts, model, tool, options)
        chosen, no_position = _choose(offered, model, tool)
        openings += chosen
        dropped += not_offered + no_position
    _fill_loss_without(openings, model)
    hopeful, already_low = _split_by_loss(openings, model, options)
    _sample(hopeful, model, tools, options)
    candidates = []
    for opening in hopeful:
        calls, useless = _distinct_calls(opening)
        candidates += calls
        dropped += useless
    order = {text.document.text_id: number for number, text in enumerate(texts)}
    candidates.sort(key=lambda candidate: order[candidate.text_id])
    return candidates, sorted(dropped + already_low, key=lambda drop: order[drop.text_id])


def sample_keys(seed: int, text_id: str, tool: str, token_index: int, num_samples: int) -> list[int]:
    """The randomness of each sample at a place: 128-bit numbers that nothing but the arguments decides."""
    named = [f"{seed}\0{text_id}\0{tool}\0{token_index}\0{number}" for number in range(num_samples)]
    return [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big") for name in named]


def _prompt_ids(model: "LanguageModel", tool: Tool) -> list[int]:
    return [*model.tokenizer.bos_ids, *model.tokenizer.encode(render_demonstrations(tool))]


def _own_ids(model: "LanguageModel", text: _Text) -> list[int]:
    return model.tokenizer.encode(render_text_slot(text.document.text))


def _offer(
    texts: Iterable[_Text], model: "LanguageModel", tool: Tool, options: ProposeOptions
) -> tuple[list[_Text], list[Dropped]]:
    """The texts that the tool wants and the model can take in."""
    num_fixed = len(_prompt_ids(model, tool)) + len(model.tokenizer.open_ids) + options.max_call_tokens
    offered, dropped = [], []
    for text in texts:
        if not tool.wants(text.document):
            dropped.append(_drop("not_offered", text, tool))
        elif num_fixed + len(_own_ids(model, text)) + len(text.places.ids) > model.window:
            dropped.append(_drop("too_long", text, tool, detail=f"{len(text.places.ids)} tokens"))
        else:
            offered.append(text)
    return offered, dropped


def _choose(texts: Sequence[_Text], model: "LanguageModel", tool: Tool) -> tuple[list[_Opening], list[Dropped]]:
    """The k most probable places above tau_s of each text, and the texts that have none."""
    prompt_ids = _prompt_ids(model, tool)
    requests = [StartRequest(own_ids=_own_ids(model, text), text_ids=text.places.ids) for text in texts]
    openings: list[_Opening] = []
    dropped = []
    for text, request, log_starts in zip(texts, requests, model.start_log_probs(prompt_ids, requests), strict=True):
        if is_close_choice(log_starts, text.places.is_place, tool.options):
            log_starts = model.start_log_probs_alone(prompt_ids, request)
        chosen = choose_places(log_starts, text.places.is_place, tool.options)
        openings += [_Opening(text, tool, index, math.exp(log_starts[index])) for index in chosen]
        if not chosen:
            dropped.append(_drop("no_position", text, tool))
    return openings, dropped


def _fill_loss_without(openings: Sequence[_Opening], model: "LanguageModel") -> None:
    """L_i(epsilon) at every chosen place, from one pass over each text for all places and tools together."""
    by_text: dict[str, list[_Opening]] = {}
    for opening in openings:
        by_text.setdefault(opening.text.document.text_id, []).append(opening)
    num_bos = len(model.tokenizer.bos_ids)
    requests, weighted_of = [], []
    for same_text in by_text.values():
        ids = same_text[0].text.places.ids
        weighted = sorted({j for opening in same_text for j in weighted_token_indices(opening.token_index, len(ids))})
        requests.append(
            ScoreRequest(
                ids=[*model.tokenizer.bos_ids, *ids[: weighted[-1] + 1]], targets=[num_bos + j for j in weighted]
            )
        )
        weighted_of.append(weighted)
    answers = model.log_probs(requests)
    for same_text, weighted, answer in zip(by_text.values(), weighted_of, answers, strict=True):
        log_probs = dict(zip(weighted, answer, strict=True))
        for opening in same_text:
            counted = weighted_token_indices(opening.token_index, len(opening.text.places.ids))
            opening.loss_without = weighted_loss(log_probs[j] for j in counted)


def _split_by_loss(
    openings: Iterable[_Opening], model: "LanguageModel", options: ProposeOptions
) -> tuple[list[_Opening], list[Dropped]]:
    """The places where a result could still lower the loss by tau_f, and those where none could."""
    hopeful, dropped = [], []
    for opening in openings:
        bound = opening.tool.options.min_loss_reduction
        bound = bound if options.prune_below is None else min(bound, options.prune_below)
        if abs(opening.loss_without - bound) <= CLOSE_NATS:
            ids = opening.text.places.ids
            opening.loss_without = loss_alone(model, model.tokenizer.bos_ids, ids, opening.token_index)
        if opening.loss_without < bound:
            detail = f"{opening.loss_without:.4f} nats"
            dropped.append(_drop("loss_already_low", opening.text, opening.tool, opening.char_offset, detail))
        else:
            hopeful.append(opening)
    return hopeful, dropped


def _sample(
    openings: Iterable[_Opening], model: "LanguageModel", tools: Mapping[str, Tool], options: ProposeOptions
) -> None:
    """m samples at every place; one request a text and tool, so that all its places continue from one pass."""
    by_tool: dict[str, dict[str, list[_Opening]]] = {tool.name: {} for tool in tools.values()}
    for opening in openings:
        by_tool[opening.tool.name].setdefault(opening.text.document.text_id, []).append(opening)
    for tool in tools.values():
        groups = list(by_tool[tool.name].values())
        requests = [_sample_request(group, model, options.seed) for group in groups]
        answers = model.sample(
            _prompt_ids(model, tool), requests, max_new_tokens=options.max_call_tokens, temperature=options.temperature
        )
        for group, answer in zip(groups, answers, strict=True):
            for opening, samples in zip(group, answer, strict=True):
                opening.samples = samples


def _sample_request(same_text: Sequence[_Opening], model: "LanguageModel", seed: int) -> SampleRequest:
    text, tool = same_text[0].text, same_text[0].tool
    places = []
    for opening in same_text:
        keys = sample_keys(seed, text.document.text_id, tool.name, opening.token_index, tool.options.num_samples)
        places.append(Place(token_index=opening.token_index, keys=keys))
    return SampleRequest(own_ids=_own_ids(model, text), text_ids=text.places.ids, places=places)


def _distinct_calls(opening: _Opening) -> tuple[list[Candidate], list[Dropped]]:
    """Each distinct call of a place with its count, the first sampled first, and the samples that are no call."""
    inputs: Counter[str] = Counter()
    malformed = []
    num_unfinished = 0
    for sample in opening.samples:
        call = None if sample.text is None else parse_sample(sample.text)
        if sample.text is None:
            num_unfinished += 1
        elif call is None or call[0] != opening.tool.name:
            malformed.append(sample.text)
        else:
            inputs[call[1]] += 1
    calls = [_candidate(opening, call_input, count) for call_input, count in inputs.items()]
    place = (opening.text, opening.tool, opening.char_offset)
    dropped = []
    if num_unfinished:
        dropped.append(_drop("sample_unfinished", *place, count=num_unfinished))
    if malformed:
        dropped.append(_drop("sample_malformed", *place, detail=malformed[0], count=len(malformed)))
    return calls, dropped


def _candidate(opening: _Opening, call_input: str, num_samples: int) -> Candidate:
    return Candidate(
        text_id=opening.text.document.text_id,
        tool=opening.tool.name,
        token_index=opening.token_index,
        char_offset=opening.char_offset,
        open_probability=float(np.float32(opening.open_probability)),
        call_input=call_input,
        num_samples=num_samples,
        loss_without=float(np.float32(opening.loss_without)),
    )


def _drop(
    reason: str, text: _Text, tool: Tool, char_offset: int | None = None, detail: str | None = None, count: int = 1
) -> Dropped:
    return Dropped(
        stage="propose",
        reason=reason,
        text_id=text.document.text_id,
        tool=tool.name,
        char_offset=char_offset,
        detail=detail and detail[:_DETAIL_CHARS],
        count=count,
    )
