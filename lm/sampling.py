"""Samples that continue texts from chosen places (paper, section 2): after the start marker, up to the end marker."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lm.forest import Forest, plant
from lm.network import KeyValues, Network, expand
from lm.noise import Noise, choose
from lm.requests import Sample, SampleRequest
from lm.tokenizer import END_MARKER, TextTokenizer


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How samples are drawn."""

    max_new_tokens: int
    """A sample with no end marker after this many tokens is unfinished."""
    temperature: float = 1.0
    """What logits are divided by; 1 draws from the model's own distribution."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1 token")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be more than 0")


@dataclass(eq=False)
class _Draft:
    """A sample in the making: which request and place it belongs to, its randomness, what is drawn so far."""

    request: int
    token_index: int
    noise: Noise
    ids: list[int] = field(default_factory=list)


class SampleBatch:
    """The requests of one batch, their prefixes read once."""

    def __init__(
        self,
        network: Network,
        tokenizer: TextTokenizer,
        shared_ids: Sequence[int],
        shared: KeyValues | None,
        requests: Sequence[SampleRequest],
    ) -> None:
        """`shared` is the cache of `shared_ids` without the last one, which heads each request's own segment instead:
        so no segment is empty.
        """
        self._network = network
        self._tokenizer = tokenizer
        self._shared_ids = shared_ids
        self._shared = shared
        self._requests = requests
        self._segments = self._read_segments()

    def draw(self, options: SamplingOptions, max_drafts: int) -> list[list[list[Sample]]]:
        """Per request, per place, per key one sample; at most `max_drafts` are written at the same time."""
        vocabulary_size = self._network.vocabulary_size
        drafts = [
            [[_Draft(index, place.token_index, Noise(key, vocabulary_size)) for key in place.keys] for place in places]
            for index, places in enumerate(request.places for request in self._requests)
        ]
        flat = [draft for places in drafts for place in places for draft in place]
        for start in range(0, len(flat), max_drafts):
            self._write(flat[start : start + max_drafts], options)
        return [[[self._finish(draft) for draft in place] for place in places] for places in drafts]

    def _read_segments(self) -> list[KeyValues]:
        """The cache of each request: the last shared id, its own ids, its text up to its last place."""
        ends = [max((place.token_index for place in request.places), default=0) for request in self._requests]
        sequences = [
            [*self._shared_ids[-1:], *request.own_ids, *request.text_ids[:end]]
            for request, end in zip(self._requests, ends, strict=True)
        ]
        past = None if self._shared is None else expand(self._shared, len(sequences))
        _, batch = self._network.read(self._network.pad(sequences), past)
        skip = 0 if past is None else past[0][0].shape[2]
        return [
            [(keys[b : b + 1, :, skip : skip + len(ids)], values[b : b + 1, :, skip : skip + len(ids)])
             for keys, values in batch]
            for b, ids in enumerate(sequences)
        ]  # fmt: skip

    def _write(self, drafts: list[_Draft], options: SamplingOptions) -> None:
        """Write the drafts to their ends, one token each per step; a draft at its end leaves."""
        branches = sorted({(draft.request, draft.token_index) for draft in drafts})
        forest = self._plant(branches)
        hidden_NH = forest.write(self._rows([self._tokenizer.open_ids] * len(branches)))
        leaves = [branches.index((draft.request, draft.token_index)) for draft in drafts]
        forest.branch(leaves)
        hidden_NH = hidden_NH[leaves]
        for step in range(options.max_new_tokens):
            self._draw_step(drafts, hidden_NH, options.temperature)
            going = [n for n, draft in enumerate(drafts) if not self._is_end(draft.ids[-1])]
            if not going or step == options.max_new_tokens - 1:
                return
            drafts = [drafts[n] for n in going]
            forest.branch(going)
            hidden_NH = forest.write(self._rows([draft.ids[-1:] for draft in drafts]))

    def _plant(self, branches: Sequence[tuple[int, int]]) -> Forest:
        """One sequence per (request, token index), at the end of the text before that token."""
        used = sorted({request for request, _ in branches})
        num_before_text = [len(self._shared_ids[-1:]) + len(request.own_ids) for request in self._requests]
        return plant(
            self._network,
            self._shared,
            [self._segments[request] for request in used],
            [(used.index(request), num_before_text[request] + token_index) for request, token_index in branches],
        )

    def _draw_step(self, drafts: Sequence[_Draft], hidden_NH: Tensor, temperature: float) -> None:
        """One more token for each draft. A choice too close to call is made on the draft's sequence alone."""
        noise = [draft.noise.step() for draft in drafts]
        tokens, is_close = choose(self._network.logits(hidden_NH), noise, temperature)
        for n, draft in enumerate(drafts):
            if is_close[n]:
                [tokens[n]], _ = choose(self._logits_alone(draft), [noise[n]], temperature)
            draft.ids.append(tokens[n])

    def _logits_alone(self, draft: _Draft) -> Tensor:
        """The logits (1, V) after a draft, from its whole sequence: batch of one, no cache, no mask."""
        request = self._requests[draft.request]
        text_ids = request.text_ids[: draft.token_index]
        ids = [*self._shared_ids, *request.own_ids, *text_ids, *self._tokenizer.open_ids, *draft.ids]
        return self._network.logits(self._network.read_alone(self._rows([ids]))[0, -1:])

    def _finish(self, draft: _Draft) -> Sample:
        is_finished = draft.ids[-1] in self._tokenizer.end_marker_ids
        text = self._tokenizer.decode(draft.ids).partition(END_MARKER)[0] if is_finished else None
        return Sample(ids=tuple(draft.ids), text=text)

    def _is_end(self, token: int) -> bool:
        return token in self._tokenizer.end_marker_ids or token in self._tokenizer.special_ids

    def _rows(self, rows: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(rows, device=self._network.device)
