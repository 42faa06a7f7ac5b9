"""Stage 2, propose: where a call could start, and which calls (paper, section 2, "Sampling API calls").

Reads `documents`. Writes `candidates`, each distinct call at a place once, with the loss L_i(epsilon) there.
Drops: `not_offered` (the tool does not want the text), `too_long` (the prompt with this text exceeds the window),
`no_position` (no place above tau_s), `loss_already_low` (a chosen place where L_i(epsilon) < tau_f: losses are
at least 0, so no result could lower it by tau_f, and no call would be kept), `sample_unfinished` (no end marker),
`sample_malformed` (no call, or another tool's) and, for tools that are expensive to ask, `loss_already_low_with_call`
(a call where L_i(e(c, epsilon)) < tau_f).

The k places are chosen before any is dropped for its loss, so dropping changes nothing that is kept.
What is proposed for a text depends on the text, the tool, the options and the model, not on the other texts.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.annotate.openings import EncodedText, Opening, distinct_calls, drop_opening, drop_text
from toolformer_ray.annotate.places import choose_places, is_close_choice
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.annotate.pruning import Found, drop_hopeless_calls
from toolformer_ray.lm.requests import Place, Prompt, Sample
from toolformer_ray.losses.weights import (
    CLOSE_NATS,
    is_below,
    loss_alone,
    pruning_bound,
    weighted_loss,
    weighted_token_indices,
)
from toolformer_ray.records.calls import CALL_ARROW
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel
    from toolformer_ray.lm.scoring.text_reading import TextReading
    from toolformer_ray.lm.writing.call_stream import ChoosePlaces

TEXTS_AT_ONCE = 64
"""Of so many texts the model's hidden states are in memory together. Samples go on across them."""


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
    second_round: bool = False
    """Whether the model was fine-tuned on texts with calls: then it proposes calls in the text as it is, without
    demonstrations, and they are scored where they stand. The paper's only round shows demonstrations, and scores calls
    before the text."""

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
    """The distinct calls of every text, tool by tool and in the order of the text, and what was dropped.

    All texts are one stream through the model: the next are read when no sample waits any more.
    """
    texts = [_encode(document, model, options) for document in documents]
    choosers: list[_Chooser] = []
    answers = model.stream_calls(
        _portions(texts, model, tools, options, choosers),
        max_new_tokens=options.max_call_tokens,
        temperature=options.temperature,
        # Behind the arrow a model that has learned from answered calls goes on with a result of its own making.
        stop=CALL_ARROW.rstrip() if options.second_round else None,
    )
    candidates: list[Candidate] = []
    dropped: list[Dropped] = []
    for chooser, answer in zip(choosers, answers, strict=True):
        found, lost = _collect(chooser, answer, model, options)
        candidates += found
        dropped += lost
    return candidates, dropped


def _portions(
    texts: Sequence[EncodedText],
    model: "LanguageModel",
    tools: Mapping[str, Tool],
    options: ProposeOptions,
    choosers: "list[_Chooser]",
) -> Iterator[tuple[Sequence[Prompt], "ChoosePlaces"]]:
    """All tools' prompts of some texts, then of the next; each portion's chooser is added to `choosers`."""
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        chooser = _Chooser(texts[first : first + TEXTS_AT_ONCE], model, options)
        for tool in tools.values():
            chooser.offer(tool)
        choosers.append(chooser)
        yield chooser.prompts, chooser.choose
        chooser.forget_texts()


def _collect(
    chooser: "_Chooser", answer: Sequence[Sequence[Sequence[Sample]]], model: "LanguageModel", options: ProposeOptions
) -> tuple[list[Candidate], list[Dropped]]:
    """What came of a portion, in the order of its texts."""
    dropped = [*chooser.dropped]
    found: list[Found] = []
    for openings, places in zip(chooser.openings, answer, strict=True):
        for opening, samples in zip(openings, places, strict=True):
            calls, useless = distinct_calls(opening, samples)
            found += [(opening, call) for call in calls]
            dropped += useless
    candidates, hopeless = drop_hopeless_calls(found, model, options.prune_below, in_place=options.second_round)
    dropped += hopeless
    rank = {text.text_id: number for number, text in enumerate(chooser.texts)}
    candidates.sort(key=lambda candidate: rank[candidate.text_id])
    dropped.sort(key=lambda drop: rank[drop.text_id])
    return candidates, dropped


class _Chooser:
    """The prompts of some texts, and, as the model reads them, the places where calls are worth sampling."""

    def __init__(self, texts: Sequence[EncodedText], model: "LanguageModel", options: ProposeOptions) -> None:
        self.texts = texts
        self._model = model
        self._options = options
        self._asked: list[tuple[int, Tool]] = []
        self._reading: TextReading | None = None
        self.prompts: list[Prompt] = []
        self.openings: list[list[Opening]] = []
        """Per prompt, the places where calls are sampled."""
        self.dropped: list[Dropped] = []

    def offer(self, tool: Tool) -> None:
        """Adds the prompts of the texts that the tool wants and the model can take in; the others are dropped."""
        tokenizer = self._model.tokenizer
        shared_ids = [*tokenizer.bos_ids] if self._options.second_round else prompt_ids(self._model, tool)
        num_fixed = len(shared_ids) + len(tokenizer.open_ids) + self._options.max_call_tokens
        for number, text in enumerate(self.texts):
            num_tokens = len(text.places.ids)
            if not tool.wants(text.document):
                self.dropped.append(drop_text("not_offered", text, tool))
            elif num_fixed + len(text.own_ids) + num_tokens > self._model.window:
                self.dropped.append(drop_text("too_long", text, tool, detail=f"{num_tokens} tokens"))
            else:
                self._asked.append((number, tool))
                self.prompts.append(Prompt(shared_ids=shared_ids, own_ids=text.own_ids, text_ids=text.places.ids))
                self.openings.append([])

    def forget_texts(self) -> None:
        """No more will be asked of the texts: their hidden states leave the memory."""
        self._reading = None

    def _read_texts(self) -> "TextReading":
        num_asked = Counter(number for number, _ in self._asked)
        texts = [text.places.ids if num_asked[number] else [] for number, text in enumerate(self.texts)]
        return self._model.read_texts(texts, [num_asked[number] > 1 for number in range(len(texts))])

    def choose(self, batch: Sequence[int], log_starts: Sequence[np.ndarray]) -> list[list[Place]]:
        """The k most probable places above tau_s of each prompt, without those where no result could help."""
        openings = [self._choose_openings(index, starts) for index, starts in zip(batch, log_starts, strict=True)]
        self._fill_loss_without(batch, openings)
        for index, its_openings in zip(batch, openings, strict=True):
            self.openings[index] = [opening for opening in its_openings if self._is_hopeful(opening)]
        return [[_place(opening, self._options.seed) for opening in self.openings[index]] for index in batch]

    def _choose_openings(self, index: int, log_starts: np.ndarray) -> list[Opening]:
        number, tool = self._asked[index]
        text = self.texts[number]
        if is_close_choice(log_starts, text.places.is_place, tool.options):
            log_starts = self._model.start_log_probs_alone(self.prompts[index])
        chosen = choose_places(log_starts, text.places.is_place, tool.options)
        if not chosen:
            self.dropped.append(drop_text("no_position", text, tool))
        return [Opening(text, tool, place, math.exp(log_starts[place])) for place in chosen]

    def _fill_loss_without(self, batch: Sequence[int], openings: Sequence[Sequence[Opening]]) -> None:
        """L_i(epsilon) at every chosen place."""
        wanted: dict[int, set[int]] = {}
        for index, its_openings in zip(batch, openings, strict=True):
            tokens = wanted.setdefault(self._asked[index][0], set())
            tokens.update(j for opening in its_openings for j in _weighted(opening))
        self._reading = self._reading or self._read_texts()
        answers = self._reading.log_probs({number: sorted(tokens) for number, tokens in wanted.items()})
        known = {number: dict(zip(sorted(wanted[number]), answer, strict=True)) for number, answer in answers.items()}
        for index, its_openings in zip(batch, openings, strict=True):
            log_probs = known[self._asked[index][0]]
            for opening in its_openings:
                opening.loss_without = weighted_loss(log_probs[j] for j in _weighted(opening))

    def _is_hopeful(self, opening: Opening) -> bool:
        """Whether a result could still lower the loss by tau_f; if none could, the place is dropped."""
        bound = pruning_bound(opening.tool.options.min_loss_reduction, self._options.prune_below)
        if abs(opening.loss_without - bound) <= CLOSE_NATS:
            ids = opening.text.places.ids
            opening.loss_without = loss_alone(self._model, self._model.tokenizer.bos_ids, ids, opening.token_index)
        if is_below(opening.loss_without, bound):
            detail = f"{opening.loss_without:.4f} nats"
            self.dropped.append(drop_opening("loss_already_low", opening, detail=detail))
            return False
        return True


def sample_keys(seed: int, text_id: str, tool: str, token_index: int, num_samples: int) -> list[int]:
    """The randomness of each sample at a place: 128-bit numbers that nothing but the arguments decides."""
    named = [f"{seed}\0{text_id}\0{tool}\0{token_index}\0{number}" for number in range(num_samples)]
    return [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big") for name in named]


def prompt_ids(model: "LanguageModel", tool: Tool) -> list[int]:
    """What every proposal sequence of a tool begins with: the beginning-of-sequence token and the demonstrations."""
    return [*model.tokenizer.bos_ids, *model.tokenizer.encode(render_demonstrations(tool))]


def _encode(document: Document, model: "LanguageModel", options: ProposeOptions) -> EncodedText:
    own_ids = [] if options.second_round else model.tokenizer.encode(render_text_slot(document.text))
    return EncodedText(document, model.tokenizer.places(document.text), own_ids)


def _place(opening: Opening, seed: int) -> Place:
    num_samples = opening.tool.options.num_samples
    keys = sample_keys(seed, opening.text.text_id, opening.tool.name, opening.token_index, num_samples)
    return Place(token_index=opening.token_index, keys=keys)


def _weighted(opening: Opening) -> range:
    return weighted_token_indices(opening.token_index, len(opening.text.places.ids))
