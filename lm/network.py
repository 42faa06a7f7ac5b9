"""A Hugging Face causal LM, seen as three things: hidden states, a key-value cache, and the vocabulary head.

Shapes: B sequences, T tokens, R rows that go through the head, V vocabulary entries, P tokens in the cache before.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

# Keys and values of a layer, each (B, heads, P, head width).
LayerCache = tuple[Tensor, Tensor]
KeyValues = list[LayerCache]

# 512 rows of a vocabulary of 50,000 are 100 MB of float32.
HEAD_ROWS = 512


class Network:
    """One model on one device. All answers are float32, whatever the model's own type."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model.eval()
        self._base = model.base_model
        self._head = model.get_output_embeddings()
        config = model.config.get_text_config()
        self._scale = _logit_scale(config)
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)

    @property
    def vocabulary_size(self) -> int:
        """How many logits a row has; at least the tokenizer's entries, often padded to a round number."""
        return self._head.weight.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.model.device

    def read(
        self,
        ids_BT: Tensor,
        past: KeyValues | None = None,
        *,
        position_ids: Tensor | None = None,
        visible_TK: Tensor | None = None,
    ) -> tuple[Tensor, KeyValues]:
        """Hidden states (B, T, width) of the tokens, and the cache of everything up to them.

        Without `visible_TK` the tokens follow the cache and each sees all before it; sequences padded on the right
        need no mask then, because nothing real comes after the padding. With it, token t sees exactly the entries k
        of the cache and of the tokens themselves where it is True.
        """
        cache = DynamicCache() if past is None else DynamicCache(past)
        num_past = 0 if past is None else past[0][0].shape[2]
        if position_ids is None:
            position_ids = torch.arange(num_past, num_past + ids_BT.shape[1], device=self.device)[None]
        output = self._base(
            input_ids=ids_BT,
            attention_mask=None if visible_TK is None else self._additive(visible_TK),
            position_ids=position_ids.expand(ids_BT.shape),
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state, [(keys, values) for keys, values, *_ in cache]

    def read_alone(self, ids_BT: Tensor) -> Tensor:
        """Hidden states (B, T, width) of whole sequences, padded on the right; no cache before, none after."""
        position_ids = torch.arange(ids_BT.shape[1], device=self.device).expand(ids_BT.shape)
        return self._base(input_ids=ids_BT, position_ids=position_ids, use_cache=False).last_hidden_state

    def logits(self, hidden_RH: Tensor) -> Tensor:
        """The head's float32 logits, (R, V), scaled or capped as the model's family does."""
        logits_RV = self._head(hidden_RH).float() * self._scale
        return logits_RV if self._cap is None else torch.tanh(logits_RV / self._cap) * self._cap

    def token_log_probs(self, hidden_RH: Tensor, ids_R: Tensor) -> Tensor:
        """Row by row the log-probability (R,) of one token."""
        chunks = zip(hidden_RH.split(HEAD_ROWS), ids_R.split(HEAD_ROWS), strict=True)
        return torch.cat([self._log_softmax(rows).gather(1, ids[:, None])[:, 0] for rows, ids in chunks])

    def any_token_log_probs(self, hidden_RH: Tensor, ids: Sequence[int]) -> Tensor:
        """Row by row the log-probability (R,) that the next token is one of `ids`."""
        columns = list(ids)
        chunks = hidden_RH.split(HEAD_ROWS)
        return torch.cat([self._log_softmax(rows)[:, columns].logsumexp(1) for rows in chunks])

    def _log_softmax(self, hidden_RH: Tensor) -> Tensor:
        return torch.log_softmax(self.logits(hidden_RH), dim=-1)

    def pad(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Sequences as one tensor (B, longest), padded on the right with an arbitrary token that nothing reads."""
        longest = max(1, *map(len, sequences))
        rows = [[*sequence, *[0] * (longest - len(sequence))] for sequence in sequences]
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def _additive(self, visible_TK: Tensor) -> Tensor:
        mask = torch.zeros(visible_TK.shape, dtype=self.model.dtype, device=self.device)
        return mask.masked_fill_(~visible_TK, torch.finfo(mask.dtype).min)[None, None]


def expand(past: KeyValues, num_sequences: int) -> KeyValues:
    """The cache of one sequence as that of a batch; a view, nothing is copied."""
    return [(keys.expand(num_sequences, -1, -1, -1), values.expand(num_sequences, -1, -1, -1)) for keys, values in past]


def _logit_scale(config: object) -> float:
    """What a family multiplies its logits by: Cohere `logit_scale`, Granite divides by `logits_scaling`."""
    return float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
