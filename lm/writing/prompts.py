"""Prompts are read once: to find where a call could start, and as the beginning of every sample at their places.

Shapes: T tokens, W hidden width.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolformer_ray.lm.attention.cache import CachedSequence, Chain, Segment
from toolformer_ray.lm.network import Network, ReadSequence
from toolformer_ray.lm.requests import Place, Prompt
from toolformer_ray.lm.tokenizer import TextTokenizer

MAX_PREFIXES = 8
"""How many shared beginnings, such as the tools' demonstrations, stay in memory."""


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """A prompt that has been read."""

    prompt: Prompt
    log_starts: Tensor
    """(T,) float32: log p(start marker) before every token of the text, all spellings of the marker added."""
    chain: Chain = ()
    """Its keys and values: the segment of the shared ids but the last, and that of the rest; () without a KV cache."""


class PromptReader:
    """Reads prompts, and the start marker at places of their texts."""

    def __init__(self, network: Network, tokenizer: TextTokenizer) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._prefixes: OrderedDict[tuple[int, ...], Segment] = OrderedDict()

    def read(self, prompts: Sequence[Prompt]) -> list[ReadPrompt]:
        """One batch of prompts with equal shared ids."""
        if not self._network.has_kv_cache:
            return self._read_whole(prompts)
        shared_ids = prompts[0].shared_ids
        # The last shared token is read with each prompt, so that even the text's first token has a row before it.
        sequences = [[*shared_ids[-1:], *prompt.own_ids, *prompt.text_ids[:-1]] for prompt in prompts]
        shared = self.prefix(shared_ids[:-1]) if len(shared_ids) > 1 else None
        before: Chain = () if shared is None else ((shared, len(shared)),)
        hidden, segments = self._network.prefill(sequences, before)
        return [
            ReadPrompt(prompt, log_starts_T, (*before, (segment, len(segment))))
            for prompt, log_starts_T, segment in zip(prompts, self._log_starts(hidden, prompts), segments, strict=True)
        ]

    def open(self, places: Sequence[tuple[ReadPrompt, Place]]) -> list[ReadSequence]:
        """The prompts up to each place and the start marker there, in one batch: what samples go on from."""
        cached = []
        for read, place in places:
            prompt, chain = read.prompt, read.chain
            if chain:
                chain = (*chain[:-1], (chain[-1][0], 1 + len(prompt.own_ids) + place.token_index))
            ids = [*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[: place.token_index]]
            cached.append(CachedSequence(ids, chain))
        return self._network.append(cached, [self._tokenizer.open_ids] * len(places))

    def num_tokens_to_open(self, read: ReadPrompt) -> int:
        """At most how many tokens `open` reads for one place of this prompt."""
        return len(self._tokenizer.open_ids) + (0 if self._network.has_kv_cache else len(read.prompt))

    def log_starts_alone(self, prompt: Prompt) -> Tensor:
        """log p(start marker) before every token of the text, from the whole sequence in a batch of its own."""
        return self._read_whole([prompt])[0].log_starts

    def prefix(self, ids: Sequence[int]) -> Segment:
        """The segment of a shared beginning, read at its first use and kept until MAX_PREFIXES others were used."""
        key = tuple(ids)
        if key not in self._prefixes:
            _, [self._prefixes[key]] = self._network.prefill([key])
        self._prefixes.move_to_end(key)
        if len(self._prefixes) > MAX_PREFIXES:
            self._prefixes.popitem(last=False)
        return self._prefixes[key]

    def _read_whole(self, prompts: Sequence[Prompt]) -> list[ReadPrompt]:
        sequences = [[*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:-1]] for prompt in prompts]
        log_starts = self._log_starts(self._network.read_whole(sequences), prompts)
        return [ReadPrompt(prompt, log_starts_T) for prompt, log_starts_T in zip(prompts, log_starts, strict=True)]

    def _log_starts(self, hidden: Sequence[Tensor], prompts: Sequence[Prompt]) -> Sequence[Tensor]:
        """From hidden states (T, W), of which the last ones predict the text's tokens."""
        counts = [len(prompt.text_ids) for prompt in prompts]
        rows = [hidden_TW[len(hidden_TW) - count :] for hidden_TW, count in zip(hidden, counts, strict=True)]
        log_starts = self._network.any_token_log_probs(torch.cat(rows), self._tokenizer.start_marker_ids)
        return log_starts.cpu().split(counts)
