"""Some of the texts on their way through the model: their prompts, and the places that are chosen in them.

What the k places are among, how they are ranked and what the model is shown are options: `annotate.propose_options`.
"""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from toolformer_ray.annotate.openings import EncodedText, Opening, drop_opening, drop_text
from toolformer_ray.annotate.places import choose_places, is_close_choice, wanted_tokens
from toolformer_ray.annotate.prompt import (
    NO_OPENING,
    CallOpening,
    chat_demonstrations,
    render_demonstrations,
    render_opening,
)
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.annotate.pruning import is_hopeful, settle_loss_without
from toolformer_ray.lm.requests import Place, Prompt
from toolformer_ray.losses.options import FilterName
from toolformer_ray.losses.weights import weighted_loss
from toolformer_ray.records.stages import Dropped
from toolformer_ray.tools.tool import Tool

if TYPE_CHECKING:
    from toolformer_ray.lm.model import LanguageModel
    from toolformer_ray.lm.scoring.text_reading import TextReading


@dataclass
class Asked:
    """A text for which the model is asked to propose calls of a tool."""

    number: int
    """Which text of the portion it is."""
    text: EncodedText
    tool: Tool
    prompt: Prompt
    begins: CallOpening
    """What is written before a sample begins."""
    is_place: Sequence[bool]
    """Before which tokens of the text a call of the tool may stand."""
    openings: list[Opening] = field(default_factory=list)
    """Where calls are sampled."""


class Portion:
    """Some of the texts with their prompts; chooses the places of each prompt when the model has read it."""

    def __init__(
        self,
        texts: Sequence[EncodedText],
        model: "LanguageModel",
        options: ProposeOptions,
        filter_name: FilterName,
        *,
        is_scorer: bool = True,
        settles: bool = True,
        is_chat: bool = False,
    ) -> None:
        """`is_scorer`: whether the losses of this model are those of the filter, so that they may drop something.

        `settles`: whether log p(opening) is this model's, which is asked once more where a choice is close.

        `is_chat`: whether the demonstrations are shown as turns of a chat.
        """
        self.texts = texts
        self.filter_name = filter_name
        self.is_scorer = is_scorer
        self._settles, self._is_chat = settles, is_chat
        self.asked: list[Asked] = []
        self.dropped: list[Dropped] = []
        self._model = model
        self._options = options
        self._reading: TextReading | None = None

    def offer(self, tool: Tool) -> None:
        """Add a prompt for each text that the tool wants and the window can hold; drop the others."""
        tokenizer, options = self._model.tokenizer, self._options
        shared_ids = self._demonstrations(tool)
        begins = render_opening(tool, options) if options.rank_by == "opening" else NO_OPENING
        opening_ids = tokenizer.encode(begins.text)
        num_fixed = len(shared_ids) + len(tokenizer.open_ids) + len(opening_ids) + options.max_call_tokens
        for number, text in enumerate(self.texts):
            num_tokens = len(text.places.ids)
            if not tool.wants(text.document):
                self.dropped.append(drop_text("not_offered", text, tool))
            elif num_fixed + len(text.own_ids) + num_tokens > self._model.window:
                self.dropped.append(drop_text("too_long", text, tool, detail=f"{num_tokens} tokens"))
            elif not any(is_place := self._places(text, tool)):
                self.dropped.append(drop_text("no_position", text, tool))
            else:
                prompt = Prompt(
                    shared_ids=shared_ids,
                    own_ids=text.own_ids,
                    text_ids=text.places.ids,
                    asked=[index for index, is_one in enumerate(is_place) if is_one],
                    opening_ids=opening_ids,
                    # Whether the choice is close is seen from the first that is not chosen.
                    num_best=tool.teaching.max_places + 1,
                )
                self.asked.append(Asked(number, text, tool, prompt, begins, is_place))

    def _demonstrations(self, tool: Tool) -> list[int]:
        """What every prompt begins with."""
        tokenizer, options = self._model.tokenizer, self._options
        if self._is_chat and tokenizer.chat_template:
            return tokenizer.chat_template.encode(chat_demonstrations(tool))
        demonstrations = "" if options.second_round else render_demonstrations(tool, options.shown)
        return [*tokenizer.bos_ids, *tokenizer.encode(demonstrations)]

    def _places(self, text: EncodedText, tool: Tool) -> Sequence[bool]:
        if self._options.places == "all":
            return text.places.is_place
        places, written = text.places, text.document.text
        return wanted_tokens(places.char_offsets, places.is_place, written, tool.wanted_places(written))

    def choose(self, batch: Sequence[int], log_starts: Sequence[np.ndarray]) -> list[list[Place]]:
        """For some prompts the k most probable places above tau_s, without those where no result could help."""
        chosen = [self.asked[index] for index in batch]
        for asked, starts in zip(chosen, log_starts, strict=True):
            asked.openings = self._choose_openings(asked, starts)
        if self.is_scorer:
            self._fill_loss_without(chosen)
            for asked in chosen:
                self._drop_hopeless(asked)
        return [[_place(opening, self._options) for opening in asked.openings] for asked in chosen]

    def forget_texts(self) -> None:
        """Free the hidden states of the texts, once all places are chosen; earlier, they would be read again."""
        self._reading = None

    def _choose_openings(self, asked: Asked, log_starts: np.ndarray) -> list[Opening]:
        is_place, teaching = asked.is_place, asked.tool.teaching
        if self._settles and is_close_choice(log_starts, is_place, teaching):
            log_starts = self._model.start_log_probs_alone(asked.prompt)
        places = choose_places(log_starts, is_place, teaching)
        if not places:
            self.dropped.append(drop_text("no_position", asked.text, asked.tool))
        return [Opening(asked.text, asked.tool, place, math.exp(log_starts[place]), asked.begins) for place in places]

    def _fill_loss_without(self, chosen: Sequence[Asked]) -> None:
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
                opening.loss_without = settle_loss_without(
                    opening, computed, self._model, self._options.prune_below, self.filter_name
                )

    def _read_texts(self) -> "TextReading":
        num_asked = Counter(asked.number for asked in self.asked)
        texts = [text.places.ids if num_asked[number] else [] for number, text in enumerate(self.texts)]
        return self._model.read_texts(texts, [num_asked[number] > 1 for number in range(len(texts))])

    def _drop_hopeless(self, asked: Asked) -> None:
        """Leave the places where a result could lower the loss enough; the others become rows."""
        hopeful = [is_hopeful(opening, self._options.prune_below, self.filter_name) for opening in asked.openings]
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


def opening_keys(opening: Opening, options: ProposeOptions) -> list[int | None]:
    """The randomness of each sample at a place; None for the one that takes the likeliest token every time."""
    num_samples = 0 if opening.begins.is_whole_call else opening.tool.teaching.num_samples
    name = opening.text.document.text_id, opening.tool.name, opening.token_index
    keys = sample_keys(options.seed, *name, num_samples)
    is_first_drawn = options.first_sample == "drawn" or not keys
    return [*keys] if is_first_drawn else [None, *keys[1:]]


def _place(opening: Opening, options: ProposeOptions) -> Place:
    return Place(token_index=opening.token_index, keys=opening_keys(opening, options))
