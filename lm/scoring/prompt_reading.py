"""Prompts are read once: for where a call could start, and as what every sample at their places goes on from.

Shapes as in lm.attention.shared; W hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from toolformer_ray.lm.attention.packed import PackedTokens
from toolformer_ray.lm.attention.shared import CausalTokens, Group, LayerCache, Layout, Segment
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Place, Prompt
from toolformer_ray.lm.scoring.prefix_cache import PrefixCache
from toolformer_ray.lm.tokenizer import TextTokenizer

Chain = tuple[tuple[Segment, int], ...]
"""What a sequence sees: segments, and how many entries of each."""


@dataclass(frozen=True, eq=False)
class ReadPrompt:
    """A prompt whose keys and values are at hand."""

    prompt: Prompt
    log_starts: Tensor
    """(T,) float32: log p(start marker) before every token of the text; all spellings of the marker added."""
    chain: Chain = ()


@dataclass(frozen=True, eq=False)
class Branch:
    """A sequence up to a place and the start marker there: what all samples of the place begin with."""

    ids: Sequence[int]
    """The whole sequence."""
    hidden: Tensor
    """(W,): the hidden state after its last token."""
    chain: Chain = ()
    marker: Sequence[LayerCache] = ()
    """Per layer the keys and values (K, L, D) of the start marker's tokens."""


class PromptReader:
    """Reads prompts and opens their places."""

    def __init__(self, network: Network, tokenizer: TextTokenizer) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._prefixes = PrefixCache(network)

    def read(self, prompts: Sequence[Prompt]) -> list[ReadPrompt]:
        """One batch of prompts with equal shared ids."""
        if not self._network.is_served:
            return self._read_whole(prompts)
        shared_ids = prompts[0].shared_ids
        shared = self._prefixes.segment(shared_ids[:-1])
        # The last shared token is read again with each prompt: even the first row is then among those read.
        sequences = [[*shared_ids[-1:], *prompt.own_ids, *prompt.text_ids[:-1]] for prompt in prompts]
        own = PackedTokens([len(ids) for ids in sequences], keep=True)
        before: Chain = () if shared is None else ((shared, len(shared)),)
        levels = [[Group(segment, [0], [length], 1)] for segment, length in before]
        hidden_LW = self._network.read_packed(sequences, levels, own, start=len(shared_ids) - 1)
        log_starts = self._log_starts(hidden_LW.split(own.lengths), prompts)
        return [
            ReadPrompt(prompt, log_starts_T, (*before, (segment, len(segment))))
            for prompt, log_starts_T, segment in zip(prompts, log_starts, own.segments(), strict=True)
        ]

    def open(self, places: Sequence[tuple[ReadPrompt, Place]]) -> list[Branch]:
        """The start marker written at each place, in one batch."""
        open_ids = self._tokenizer.open_ids
        sequences = [
            [*read.prompt.shared_ids, *read.prompt.own_ids, *read.prompt.text_ids[: place.token_index], *open_ids]
            for read, place in places
        ]
        if not self._network.is_served:
            hidden = self._network.read_whole(sequences)
            return [Branch(ids, hidden_TW[-1]) for ids, hidden_TW in zip(sequences, hidden, strict=True)]
        chains = [
            (*read.chain[:-1], (read.chain[-1][0], 1 + len(read.prompt.own_ids) + place.token_index))
            for read, place in places
        ]
        own = CausalTokens(keep=True)
        ids_NL = self._network.pad([open_ids] * len(places))
        first_N = torch.tensor([len(ids) - len(open_ids) for ids in sequences], device=ids_NL.device)
        position_NL = first_N[:, None] + torch.arange(len(open_ids), device=ids_NL.device)
        hidden_NLW = self._network.read(ids_NL, position_NL, Layout(group_by_segment(chains), own))
        return [
            Branch(ids, hidden_NLW[n, -1], chain, [(keys[n], values[n]) for keys, values in own.layers])
            for n, (ids, chain) in enumerate(zip(sequences, chains, strict=True))
        ]

    def num_tokens_to_open(self, read: ReadPrompt) -> int:
        """At most how many tokens `open` reads for one place of this prompt."""
        num_whole = len(read.prompt.shared_ids) + len(read.prompt.own_ids) + len(read.prompt.text_ids)
        return len(self._tokenizer.open_ids) + (0 if self._network.is_served else num_whole)

    def log_starts_alone(self, prompt: Prompt) -> Tensor:
        """log p(start marker) before every token of the text, from the whole sequence: batch of one, nothing kept."""
        return self._read_whole([prompt])[0].log_starts

    def _read_whole(self, prompts: Sequence[Prompt]) -> list[ReadPrompt]:
        sequences = [[*prompt.shared_ids, *prompt.own_ids, *prompt.text_ids[:-1]] for prompt in prompts]
        log_starts = self._log_starts(self._network.read_whole(sequences), prompts)
        return [ReadPrompt(prompt, log_starts_T) for prompt, log_starts_T in zip(prompts, log_starts, strict=True)]

    def _log_starts(self, hidden: Sequence[Tensor], prompts: Sequence[Prompt]) -> Sequence[Tensor]:
        """From hidden states (T, W): the last ones foretell the text's tokens."""
        counts = [len(prompt.text_ids) for prompt in prompts]
        rows = [hidden_TW[len(hidden_TW) - count :] for hidden_TW, count in zip(hidden, counts, strict=True)]
        log_starts = self._network.any_token_log_probs(torch.cat(rows), self._tokenizer.start_marker_ids)
        return log_starts.cpu().split(counts)


def group_by_segment(chains: Sequence[Chain]) -> list[list[Group]]:
    """The levels of a layout: per level, the sequences that see the same segment are a group."""
    levels: list[list[Group]] = []
    for depth in range(max(map(len, chains))):
        seen: dict[Segment, tuple[list[int], list[int]]] = {}
        for row, chain in enumerate(chains):
            if depth < len(chain):
                segment, length = chain[depth]
                rows, lengths = seen.setdefault(segment, ([], []))
                rows.append(row)
                lengths.append(length)
        levels.append([Group(segment, *members, len(chains)) for segment, members in seen.items()])
    return levels
