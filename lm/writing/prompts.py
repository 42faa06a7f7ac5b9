"""Prompts are read once: to find where a call could start, and as the beginning of every sample at their places.

Shapes: T tokens, W hidden width.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolformer_ray.lm.attention.cache import CachedSequence, Chain, Segment
from toolformer_ray.lm.network import Network, ReadSequence
from toolformer_ray.lm.requests import Prompt
from toolformer_ray.lm.tokenizer import TextTokenizer

MAX_PREFIXES = 8
"""How many shared beginnings, such as the tools' demonstrations, stay in memory."""


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """A prompt that has been read."""

    prompt: Prompt
    log_starts: Tensor
    """(T,) float32: log p(start marker) before each token of the text, all spellings of the marker added; minus
    infinity where it is not asked about."""
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

    def open(self, places: Sequence[tuple[ReadPrompt, int]]) -> list[tuple[ReadSequence, float]]:
        """The prompts up to each token and the opening there, in one batch: what samples go on from.

        With it the log-probability of what follows the start marker, which is given: 0 if nothing does.
        """
        cached = [_before(read, token_index) for read, token_index in places]
        marker, num_marker = self._tokenizer.open_ids, len(self._tokenizer.open_ids)
        opened = self._network.append_all(cached, [[*marker, *read.prompt.opening_ids] for read, _ in places])
        # The row after each token but the last predicts the token behind it.
        rows = [hidden_LW[num_marker - 1 : -1] for _, hidden_LW in opened]
        names = [torch.tensor(read.prompt.opening_ids, dtype=torch.long) for read, _ in places]
        found = self._network.token_log_probs(torch.cat(rows), torch.cat(names).to(self._network.device))
        sums = [float(log_probs.sum()) for log_probs in found.cpu().split([len(ids) for ids in names])]
        return [((longer, hidden_LW[-1]), log_prob) for (longer, hidden_LW), log_prob in zip(opened, sums, strict=True)]

    def num_tokens_to_open(self, read: ReadPrompt) -> int:
        """At most how many tokens `open` reads for one place of this prompt."""
        num_read_again = 0 if self._network.has_kv_cache else len(read.prompt)
        return len(self._tokenizer.open_ids) + len(read.prompt.opening_ids) + num_read_again

    def log_openings_alone(self, prompt: Prompt) -> Tensor:
        """(T,) log p(opening) before each token of the text, from whole sequences, each in a batch of its own."""
        [read] = self._read_whole([prompt])
        log_openings_T = read.log_starts
        if prompt.opening_ids:
            for index in prompt.asked if prompt.asked is not None else range(len(prompt.text_ids)):
                log_openings_T[index] += self._log_name_alone(prompt, index)
        return log_openings_T

    def prefix(self, ids: Sequence[int]) -> Segment:
        """The segment of a shared beginning, read at its first use and kept until MAX_PREFIXES others were used."""
        key = tuple(ids)
        if key not in self._prefixes:
            _, [self._prefixes[key]] = self._network.prefill([key])
        self._prefixes.move_to_end(key)
        if len(self._prefixes) > MAX_PREFIXES:
            self._prefixes.popitem(last=False)
        return self._prefixes[key]

    def _log_name_alone(self, prompt: Prompt, token_index: int) -> float:
        before = [*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:token_index], *self._tokenizer.open_ids]
        ids_L = torch.tensor(prompt.opening_ids, device=self._network.device)
        [hidden_TW] = self._network.read_whole([[*before, *prompt.opening_ids]])
        return float(self._network.token_log_probs(hidden_TW[len(before) - 1 : -1], ids_L).sum())

    def _read_whole(self, prompts: Sequence[Prompt]) -> list[ReadPrompt]:
        sequences = [[*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:-1]] for prompt in prompts]
        log_starts = self._log_starts(self._network.read_whole(sequences), prompts)
        return [ReadPrompt(prompt, log_starts_T) for prompt, log_starts_T in zip(prompts, log_starts, strict=True)]

    def _log_starts(self, hidden: Sequence[Tensor], prompts: Sequence[Prompt]) -> Sequence[Tensor]:
        """From hidden states (T, W), of which the last ones predict the text's tokens."""
        asked = [range(len(prompt.text_ids)) if prompt.asked is None else prompt.asked for prompt in prompts]
        rows = []
        for hidden_TW, prompt, indices in zip(hidden, prompts, asked, strict=True):
            first = len(hidden_TW) - len(prompt.text_ids)
            rows.append(hidden_TW[[first + index for index in indices]])
        found = self._network.any_token_log_probs(torch.cat(rows), self._tokenizer.start_marker_ids).cpu()
        log_starts = [torch.full((len(prompt.text_ids),), -math.inf) for prompt in prompts]
        for log_starts_T, indices, values in zip(log_starts, asked, found.split([len(i) for i in asked]), strict=True):
            log_starts_T[list(indices)] = values
        return log_starts


def _before(read: ReadPrompt, token_index: int) -> CachedSequence:
    """A prompt up to a token of its text."""
    prompt, chain = read.prompt, read.chain
    if chain:
        chain = (*chain[:-1], (chain[-1][0], 1 + len(prompt.own_ids) + token_index))
    return CachedSequence([*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:token_index]], chain)
