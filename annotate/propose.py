"""Stage 2, propose: where a call could start, and which calls (paper, section 2, "Sampling API calls").

Reads `documents`. Writes `candidates`, each distinct call at a place once, with the loss L_i(epsilon) there.
Drops: `not_offered` (the tool does not want the text), `too_long` (the prompt with this text exceeds the window),
`no_position` (no place above tau_s), `loss_already_low` (a chosen place where L_i(epsilon) is below the pruning bound,
so that no result could lower it by as much), `sample_unfinished` (no end marker), `sample_malformed` (no call, or
another tool's) and, for tools that are expensive to ask, `loss_already_low_with_call` (a call where L_i(e(c, epsilon))
is below the bound). The pruning bound is the lower of tau_f and `prune_below`.

The k places are chosen before any is dropped for its loss, so dropping changes nothing that is kept.
What is proposed for a text depends on the text, the tool, the options and the model, not on the other texts.
"""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.annotate.openings import EncodedText, Opening, distinct_calls, drop_opening, drop_text
from toolformer_ray.annotate.places import choose_places, is_close_choice
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.annotate.pruning import Found, drop_hopeless_calls, is_hopeful, settle_loss_without
from toolformer_ray.lm.requests import Place, Prompt, Sample
from toolformer_ray.losses.weights import weighted_loss
from toolformer_ray.records.calls import CALL_ARROW
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.fingerprint import added_later
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel
    from toolformer_ray.lm.requests import ChoosePlaces
    from toolformer_ray.lm.scoring.text_reading import TextReading

TEXTS_AT_ONCE = 64
"""How many texts form a portion. The model's hidden states of one portion are in memory at a time; samples of one
portion are still written while the next is read."""


@dataclass(frozen=True, kw_only=True)
class ProposeOptions:
    """How calls are sampled; the thresholds tau_s, k and m belong to the tools.

    A new option gets `metadata=added_later(before=...)`, so that runs made without it can go on.
    """

    seed: int = 0
    """Changes every sample; equal seeds give equal samples."""
    max_call_tokens: int = 64
    """A sample without an end marker after this many tokens is dropped."""
    temperature: float = 1.0
    """Divides the logits before a token is drawn; 1 samples from the model as it is."""
    prune_below: float | None = None
    """The lowest tau_f, in nats, that one may want to sweep to later; None: the tool's tau_f. Lower costs more."""
    second_round: bool = field(default=False, metadata=added_later(before=False))
    """Whether the model was fine-tuned on texts with calls. It then proposes calls without being shown demonstrations,
    and they are scored in their place. The paper's one round shows demonstrations and scores calls before the text."""

    def __post_init__(self) -> None:
        if self.max_call_tokens < 1:
            raise OptionError("max_call_tokens", self.max_call_tokens, "it must be at least 1 token")
        if not 0 < self.temperature < math.inf:
            raise OptionError("temperature", self.temperature, "it must be more than 0")
        if self.prune_below is not None and not math.isfinite(self.prune_below):
            raise OptionError("prune_below", self.prune_below, "it must be a number of nats, or left out")


def propose(
    documents: Iterable[Document], model: "LanguageModel", tools: Mapping[str, Tool], options: ProposeOptions
) -> tuple[list[Candidate], list[Dropped]]:
    """The distinct calls of every text, tool by tool and in the order of the text, and what was dropped.

    All texts are one stream through the model: it reads the next portion when there is room for more samples. It asks
    for the next only once the places of this whole portion are chosen (`LanguageModel.stream_calls`). Choosing is all
    that needs the losses of the texts, so these are forgotten then.
    """
    texts = [_encode(document, model, options) for document in documents]
    portions: list[_Portion] = []

    def stream() -> Iterator[tuple[Sequence[Prompt], "ChoosePlaces"]]:
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            portion = _Portion(texts[first : first + TEXTS_AT_ONCE], model, options)
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
        found, lost = _collect(portion, answer, model, options)
        candidates += found
        dropped += lost
    return candidates, dropped


def _collect(
    portion: "_Portion", answer: Sequence[Sequence[Sequence[Sample]]], model: "LanguageModel", options: ProposeOptions
) -> tuple[list[Candidate], list[Dropped]]:
    """The candidates and drops of a portion, in the order of its texts."""
    dropped = [*portion.dropped]
    found: list[Found] = []
    for asked, places in zip(portion.asked, answer, strict=True):
        for opening, samples in zip(asked.openings, places, strict=True):
            calls, useless = distinct_calls(opening, samples)
            found += [(opening, call) for call in calls]
            dropped += useless
    candidates, hopeless = drop_hopeless_calls(found, model, options.prune_below, in_place=options.second_round)
    dropped += hopeless
    rank = {text.document.text_id: number for number, text in enumerate(portion.texts)}
    candidates.sort(key=lambda candidate: rank[candidate.text_id])
    dropped.sort(key=lambda drop: rank[drop.text_id])
    return candidates, dropped


@dataclass
class _Asked:
    """A text for which the model is asked to propose calls of a tool."""

    number: int
    """Which text of the portion it is."""
    text: EncodedText
    tool: Tool
    prompt: Prompt
    openings: list[Opening] = field(default_factory=list)
    """Where calls are sampled."""


class _Portion:
    """Some of the texts with their prompts; chooses the places of each prompt when the model has read it."""

    def __init__(self, texts: Sequence[EncodedText], model: "LanguageModel", options: ProposeOptions) -> None:
        self.texts = texts
        self.asked: list[_Asked] = []
        self.dropped: list[Dropped] = []
        self._model = model
        self._options = options
        self._reading: TextReading | None = None

    def offer(self, tool: Tool) -> None:
        """Add a prompt for each text that the tool wants and the window can hold; drop the others."""
        tokenizer = self._model.tokenizer
        demonstrations = "" if self._options.second_round else render_demonstrations(tool)
        shared_ids = [*tokenizer.bos_ids, *tokenizer.encode(demonstrations)]
        num_fixed = len(shared_ids) + len(tokenizer.open_ids) + self._options.max_call_tokens
        for number, text in enumerate(self.texts):
            num_tokens = len(text.places.ids)
            if not tool.wants(text.document):
                self.dropped.append(drop_text("not_offered", text, tool))
            elif num_fixed + len(text.own_ids) + num_tokens > self._model.window:
                self.dropped.append(drop_text("too_long", text, tool, detail=f"{num_tokens} tokens"))
            else:
                prompt = Prompt(shared_ids=shared_ids, own_ids=text.own_ids, text_ids=text.places.ids)
                self.asked.append(_Asked(number, text, tool, prompt))

    def choose(self, batch: Sequence[int], log_starts: Sequence[np.ndarray]) -> list[list[Place]]:
        """For some prompts the k most probable places above tau_s, without those where no result could help."""
        chosen = [self.asked[index] for index in batch]
        for asked, starts in zip(chosen, log_starts, strict=True):
            asked.openings = self._choose_openings(asked, starts)
        self._fill_loss_without(chosen)
        for asked in chosen:
            self._drop_hopeless(asked)
        return [[_place(opening, self._options.seed) for opening in asked.openings] for asked in chosen]

    def forget_texts(self) -> None:
        """Free the hidden states of the texts, once all places are chosen; earlier, they would be read again."""
        self._reading = None

    def _choose_openings(self, asked: _Asked, log_starts: np.ndarray) -> list[Opening]:
        is_place, teaching = asked.text.places.is_place, asked.tool.teaching
        if is_close_choice(log_starts, is_place, teaching):
            log_starts = self._model.start_log_probs_alone(asked.prompt)
        places = choose_places(log_starts, is_place, teaching)
        if not places:
            self.dropped.append(drop_text("no_position", asked.text, asked.tool))
        return [Opening(asked.text, asked.tool, place, math.exp(log_starts[place])) for place in places]

    def _fill_loss_without(self, chosen: Sequence[_Asked]) -> None:
        """Compute L_i(epsilon) at every chosen place; a text is read once, for all tools."""
        wanted: dict[int, set[int]] = {}
        for asked in chosen:
            tokens = wanted.setdefault(asked.number, set())
            tokens.update(j for opening in asked.openings for j in opening.weighted)
        self._reading = self._reading or self._read_texts()
        answers = self._reading.log_probs({number: sorted(tokens) for number, tokens in wanted.items()})
        known = {number: dict(zip(sorted(wanted[number]), answer, strict=True)) for number, answer in answers.items()}
        for asked in chosen:
            for opening in asked.openings:
                computed = weighted_loss(known[asked.number][j] for j in opening.weighted)
                opening.loss_without = settle_loss_without(opening, computed, self._model, self._options.prune_below)

    def _read_texts(self) -> "TextReading":
        num_asked = Counter(asked.number for asked in self.asked)
        texts = [text.places.ids if num_asked[number] else [] for number, text in enumerate(self.texts)]
        return self._model.read_texts(texts, [num_asked[number] > 1 for number in range(len(texts))])

    def _drop_hopeless(self, asked: _Asked) -> None:
        """Leave the places where a result could lower the loss enough; the others become rows."""
        hopeful = [is_hopeful(opening, self._options.prune_below) for opening in asked.openings]
        self.dropped += [
            drop_opening("loss_already_low", opening, detail=f"{opening.loss_without:.4f} nats")
            for opening, is_left in zip(asked.openings, hopeful, strict=True)
            if not is_left
        ]
        asked.openings = list(itertools.compress(asked.openings, hopeful))


def sample_keys(seed: int, text_id: str, tool: str, token_index: int, num_samples: int) -> list[int]:
    """The randomness of each sample at a place: 128-bit numbers that depend on the arguments alone."""
    named = [f"{seed}\0{text_id}\0{tool}\0{token_index}\0{number}" for number in range(num_samples)]
    return [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "big") for name in named]


def _encode(document: Document, model: "LanguageModel", options: ProposeOptions) -> EncodedText:
    own_ids = [] if options.second_round else model.tokenizer.encode(render_text_slot(document.text))
    return EncodedText(document, model.tokenizer.places(document.text), own_ids)


def _place(opening: Opening, seed: int) -> Place:
    num_samples = opening.tool.teaching.num_samples
    keys = sample_keys(seed, opening.text.document.text_id, opening.tool.name, opening.token_index, num_samples)
    return Place(token_index=opening.token_index, keys=keys)
