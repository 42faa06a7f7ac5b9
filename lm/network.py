"""A Hugging Face causal LM as the engine uses it: hidden states, keys and values to go on from, the vocabulary head.

Shapes: N sequences, L new tokens of each (padded), T tokens, R rows that go through the head, W hidden width, V
vocabulary entries.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation

from toolformer_ray.lm.attention.cache import CachedSequence, Chain, LayerCache, Segment, chain_length
from toolformer_ray.lm.attention.routing import route_attention, using
from toolformer_ray.lm.attention.visibility import Layout, PackedTokens, PaddedTokens

HEAD_NUMBERS = 512 * 50_304
"""Logits in memory at once, 100 MB of float32: 512 rows of GPT-2's vocabulary, 98 of one of 262,144 entries."""

ReadSequence = tuple[CachedSequence, Tensor]
"""A sequence that has been read, and the hidden state (W,) after its last token."""


class Network:
    """One model on one device. All results are float32, whatever the model's own dtype."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = fuse_activations(model.eval())
        self._base = model.base_model
        self._head = model.get_output_embeddings()
        config = model.config.get_text_config()
        self._scale = _logit_scale(config)
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._undo_routing: Callable[[], None] | None = None
        self.num_tokens_read = 0
        """Tokens that went through the model so far, padding included."""
        self.done: Counter[str] = Counter()
        """What was answered so far: `prompts` that were read, `samples` that were begun, sequences with their `losses`.
        Another thread may look while the model is busy."""

    @property
    def has_kv_cache(self) -> bool:
        """Whether sequences keep and share keys and values; if not, each is read as a whole, every time."""
        return self._undo_routing is not None

    def enable_kv_cache(self) -> bool:
        """Compute attention in the engine from now on; whether that is possible.

        It is not for families whose attention cannot be routed here, nor for a model that lies on several devices:
        shared segments are looked up by indices that lie on one.
        """
        if len(set(getattr(self.model, "hf_device_map", {}).values())) > 1:
            return False
        self._undo_routing = route_attention(self.model)
        return self.has_kv_cache

    def disable_kv_cache(self) -> None:
        """Leave attention to the model again."""
        if self._undo_routing is not None:
            self._undo_routing()
        self._undo_routing = None

    @property
    def vocabulary_size(self) -> int:
        """How many logits a row has: the tokenizer's entries, often padded to a round number."""
        return self._head.weight.shape[0]

    @property
    def head_rows(self) -> int:
        """How many rows go through the vocabulary head at once."""
        return max(1, HEAD_NUMBERS // self.vocabulary_size)

    @property
    def device(self) -> torch.device:
        """The device of the weights; of several, the one that takes token ids and gives results."""
        return self.model.device

    def read(self, ids_NL: Tensor, position_NL: Tensor, layout: Layout) -> Tensor:
        """Hidden states (N, L, W) of new tokens; the layout says what they see and stores their keys and values."""
        with using(layout):
            return self._run(ids_NL, position_NL)

    def read_whole(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        """Hidden states (T, W) of each of several whole sequences; nothing is kept.

        Without a KV cache they are padded on the right, else packed end to end.
        """
        if self.has_kv_cache:
            return self._read_packed(sequences, (), PackedTokens([len(ids) for ids in sequences], self.device))
        ids_NL = self.pad(sequences)
        position_NL = torch.arange(ids_NL.shape[1], device=self.device).expand(ids_NL.shape)
        hidden_NLW = self._run(ids_NL, position_NL)
        return [hidden_TW[: len(ids)] for hidden_TW, ids in zip(hidden_NLW, sequences, strict=True)]

    def prefill(self, sequences: Sequence[Sequence[int]], chain: Chain = ()) -> tuple[list[Tensor], list[Segment]]:
        """Read sequences behind the same shared beginning, packed; each one's hidden states (T, W) and its segment."""
        tokens = PackedTokens([len(ids) for ids in sequences], self.device, keep=True)
        return self._read_packed(sequences, chain, tokens), tokens.segments()

    def extend(
        self, cached: Sequence[CachedSequence], new_ids: Sequence[Sequence[int]], *, keep: bool = False
    ) -> tuple[Tensor, list[LayerCache]]:
        """Read new tokens behind each of N sequences: their hidden states (N, L, W), padded on the right.

        With `keep` also per layer their keys and values (N, K, L, D).
        """
        ids_NL = self.pad(new_ids)
        caches = [sequence.layers for sequence in cached]
        tokens = PaddedTokens(caches, ids_NL.shape[1], self.device, keep=keep)
        starts = [len(sequence.ids) for sequence in cached]
        start_N1 = torch.tensor(starts, device=self.device)[:, None]
        position_NL = start_N1 + torch.arange(ids_NL.shape[1], device=self.device)
        # No token sees the padding, but a position beyond the window would have no embedding.
        last = [start + max(0, len(ids) - 1) for start, ids in zip(starts, new_ids, strict=True)]
        last_N1 = torch.tensor(last, device=self.device)[:, None]
        layout = Layout([sequence.chain for sequence in cached], tokens)
        return self.read(ids_NL, torch.minimum(position_NL, last_N1), layout), tokens.layers

    def append(self, cached: Sequence[CachedSequence], new_ids: Sequence[Sequence[int]]) -> list[ReadSequence]:
        """Read new tokens behind each of several sequences, in one batch; the longer sequences."""
        return [(longer, hidden_LW[-1]) for longer, hidden_LW in self.append_all(cached, new_ids)]

    def append_all(
        self, cached: Sequence[CachedSequence], new_ids: Sequence[Sequence[int]]
    ) -> list[tuple[CachedSequence, Tensor]]:
        """The same with the hidden states (L, W) after each of the new tokens."""
        if not self.has_kv_cache:
            whole = [[*sequence.ids, *ids] for sequence, ids in zip(cached, new_ids, strict=True)]
            hidden = self.read_whole(whole)
            return [
                (CachedSequence(ids), hidden_TW[len(sequence.ids) :])
                for ids, hidden_TW, sequence in zip(whole, hidden, cached, strict=True)
            ]
        hidden_NLW, layers = self.extend(cached, new_ids, keep=True)
        read = []
        for row, (sequence, ids) in enumerate(zip(cached, new_ids, strict=True)):
            new = [(keys[row, :, : len(ids)], values[row, :, : len(ids)]) for keys, values in layers]
            read.append((sequence.extended(ids, new), hidden_NLW[row, : len(ids)]))
        return read

    def logits(self, hidden_RW: Tensor) -> Tensor:
        """Float32 logits (R, V), scaled or capped as the model's family does."""
        logits_RV = self._head(hidden_RW).to(self.device).float()
        if self._scale != 1.0:
            logits_RV = logits_RV * self._scale
        return logits_RV if self._cap is None else torch.tanh(logits_RV / self._cap) * self._cap

    def token_log_probs(self, hidden_RW: Tensor, ids_R: Tensor, barred: Sequence[int] = ()) -> Tensor:
        """The log-probability (R,) of one token per row; other barred tokens have probability 0."""
        found = []
        for rows, ids in zip(hidden_RW.split(self.head_rows), ids_R.split(self.head_rows), strict=True):
            logits_RV = self._allowed_logits(rows, ids, barred)
            found.append(logits_RV.gather(1, ids[:, None])[:, 0] - logits_RV.logsumexp(1))
        return torch.cat(found)

    def likeliest_log_probs(
        self, hidden_RW: Tensor, ids_R: Tensor, num_likeliest: int, barred: Sequence[int] = ()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`token_log_probs`, and per row the likeliest entries (R, K) and their log-probabilities (R, K)."""
        found = []
        for rows, ids in zip(hidden_RW.split(self.head_rows), ids_R.split(self.head_rows), strict=True):
            logits_RV = self._allowed_logits(rows, ids, barred)
            total_R1 = logits_RV.logsumexp(1, keepdim=True)
            values_RK, best_RK = logits_RV.topk(min(num_likeliest, logits_RV.shape[1]), dim=1)
            own_R1 = logits_RV.gather(1, ids[:, None])
            found.append(((own_R1 - total_R1)[:, 0], best_RK, values_RK - total_R1))
        own, best, log_probs = zip(*found, strict=True)
        return torch.cat(own), torch.cat(best), torch.cat(log_probs)

    def are_likeliest(self, hidden_RW: Tensor, ids_R: Tensor, barred: Sequence[int] = ()) -> bool:
        """Whether in every row the token is the likeliest; other barred tokens have probability 0."""
        chunks = zip(hidden_RW.split(self.head_rows), ids_R.split(self.head_rows), strict=True)
        return all(bool((self._allowed_logits(rows, ids, barred).argmax(1) == ids).all()) for rows, ids in chunks)

    def any_token_log_probs(self, hidden_RW: Tensor, ids: Sequence[int]) -> Tensor:
        """Per row the log-probability (R,) that the next token is one of `ids`."""
        columns = list(ids)
        logits = map(self.logits, hidden_RW.split(self.head_rows))
        return torch.cat([logits_RV[:, columns].logsumexp(1) - logits_RV.logsumexp(1) for logits_RV in logits])

    def pad(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Sequences as one tensor (N, longest), padded on the right with an arbitrary token that nothing sees."""
        longest = max(1, *map(len, sequences))
        rows = [[*sequence, *[0] * (longest - len(sequence))] for sequence in sequences]
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def _read_packed(self, sequences: Sequence[Sequence[int]], chain: Chain, tokens: PackedTokens) -> list[Tensor]:
        """Hidden states (T, W) of each sequence, all of them in one row."""
        start, lengths = chain_length(chain), [len(ids) for ids in sequences]
        ids_1T = torch.tensor([[token for ids in sequences for token in ids]], dtype=torch.long, device=self.device)
        positions = [torch.arange(start, start + length, device=self.device) for length in lengths]
        hidden_1TW = self.read(ids_1T, torch.cat(positions)[None], Layout([chain], tokens))
        return list(hidden_1TW[0].split(lengths))

    def _run(self, ids_NL: Tensor, position_NL: Tensor) -> Tensor:
        self.num_tokens_read += ids_NL.numel()
        output = self._base(input_ids=ids_NL, position_ids=position_NL, use_cache=False)
        return output.last_hidden_state.to(self.device)

    def _allowed_logits(self, hidden_RW: Tensor, ids_R: Tensor, barred: Sequence[int]) -> Tensor:
        """Logits (R, V), minus infinity for barred tokens that are not the row's own."""
        logits_RV = self.logits(hidden_RW)
        if not barred:
            return logits_RV
        own_R1 = logits_RV.gather(1, ids_R[:, None])
        barred_ids = torch.tensor(barred, dtype=torch.long, device=self.device)
        return logits_RV.index_fill(1, barred_ids, -math.inf).scatter(1, ids_R[:, None], own_R1)


def fuse_activations(model: PreTrainedModel) -> PreTrainedModel:
    """The model with GPT-2's GELU as one operation instead of eight; the same formula, equal up to rounding."""
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))
    return model


def _logit_scale(config: object) -> float:
    """What a family multiplies its logits by: Cohere `logit_scale`, Granite divides by `logits_scaling`."""
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
