"""A Hugging Face causal LM, seen as three things: hidden states, keys and values to go on from, the vocabulary head.

Shapes: B sequences, T tokens, R rows that go through the head, V vocabulary entries.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.activations import NewGELUActivation

from toolformer_ray.lm.attention.packed import PackedTokens
from toolformer_ray.lm.attention.serving import serve, using
from toolformer_ray.lm.attention.shared import Group, Layout

# 512 rows of a vocabulary of 50,000 are 100 MB of float32.
HEAD_ROWS = 512


class Network:
    """One model on one device. All answers are float32, whatever the model's own type."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = fuse_activations(model.eval())
        self._base = model.base_model
        self._head = model.get_output_embeddings()
        config = model.config.get_text_config()
        self._scale = _logit_scale(config)
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._take_back: Callable[[], None] | None = None
        self.num_tokens_read = 0
        """Tokens that went through the model so far, padding included."""

    @property
    def is_served(self) -> bool:
        """Whether sequences may share keys and values; if not, each is read whole, every time."""
        return self._take_back is not None

    def serve(self) -> bool:
        """Have sequences share keys and values from now on; False if the model's family cannot, or its layers lie on
        several devices: what is shared is looked up by indices that lie on one."""
        if len(set(getattr(self.model, "hf_device_map", {}).values())) > 1:
            return False
        self._take_back = serve(self.model)
        return self.is_served

    def unserve(self) -> None:
        """Leave attention to the model again."""
        if self._take_back is not None:
            self._take_back()
        self._take_back = None

    @property
    def vocabulary_size(self) -> int:
        """How many logits a row has; at least the tokenizer's entries, often padded to a round number."""
        return self._head.weight.shape[0]

    @property
    def device(self) -> torch.device:
        """Where the model's weights are; of several devices the one that takes token ids and gives answers."""
        return self.model.device

    def read(self, ids_BT: Tensor, position_BT: Tensor, layout: Layout) -> Tensor:
        """Hidden states (B, T, width) of tokens at their positions; what they see and leave behind is the layout's."""
        with using(layout):
            return self._run(ids_BT, position_BT)

    def read_whole(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        """Hidden states (T, width) of each of several whole sequences; nothing before, nothing kept, no padding.

        A model that is not served reads them padded on the right.
        """
        lengths = [len(sequence) for sequence in sequences]
        if self.is_served:
            return list(self.read_packed(sequences, [], PackedTokens(lengths)).split(lengths))
        ids_BT = self.pad(sequences)
        position_BT = torch.arange(ids_BT.shape[1], device=self.device).expand(ids_BT.shape)
        hidden_BTW = self._run(ids_BT, position_BT)
        return [hidden_TW[:length] for hidden_TW, length in zip(hidden_BTW, lengths, strict=True)]

    def read_packed(
        self, sequences: Sequence[Sequence[int]], levels: Sequence[Sequence[Group]], own: PackedTokens, start: int = 0
    ) -> Tensor:
        """Hidden states (sum of lengths, width) of sequences that each begin at position `start`, behind `levels`."""
        ids = [token for sequence in sequences for token in sequence]
        ids_1T = torch.tensor([ids], dtype=torch.long, device=self.device)
        positions = [torch.arange(start, start + len(sequence), device=self.device) for sequence in sequences]
        return self.read(ids_1T, torch.cat(positions)[None], Layout(levels, own))[0]

    def logits(self, hidden_RH: Tensor) -> Tensor:
        """The head's float32 logits, (R, V), scaled or capped as the model's family does."""
        logits_RV = self._head(hidden_RH).to(self.device).float()
        if self._scale != 1.0:
            logits_RV = logits_RV * self._scale
        return logits_RV if self._cap is None else torch.tanh(logits_RV / self._cap) * self._cap

    def token_log_probs(self, hidden_RH: Tensor, ids_R: Tensor, barred: Sequence[int] = ()) -> Tensor:
        """Row by row the log-probability (R,) of one token, of all but the barred ones and itself."""
        chunks = zip(hidden_RH.split(HEAD_ROWS), ids_R.split(HEAD_ROWS), strict=True)
        return torch.cat(
            [
                torch.log_softmax(self._allowed_logits(rows, ids, barred), dim=-1).gather(1, ids[:, None])[:, 0]
                for rows, ids in chunks
            ]
        )

    def are_likeliest(self, hidden_RH: Tensor, ids_R: Tensor, barred: Sequence[int] = ()) -> bool:
        """Whether in every row the token is the likeliest of all but the barred ones and itself."""
        chunks = zip(hidden_RH.split(HEAD_ROWS), ids_R.split(HEAD_ROWS), strict=True)
        return all(bool((self._allowed_logits(rows, ids, barred).argmax(1) == ids).all()) for rows, ids in chunks)

    def any_token_log_probs(self, hidden_RH: Tensor, ids: Sequence[int]) -> Tensor:
        """Row by row the log-probability (R,) that the next token is one of `ids`."""
        columns = list(ids)
        chunks = hidden_RH.split(HEAD_ROWS)
        return torch.cat([self._log_softmax(rows)[:, columns].logsumexp(1) for rows in chunks])

    def pad(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """Sequences as one tensor (B, longest), padded on the right with an arbitrary token that nothing reads."""
        longest = max(1, *map(len, sequences))
        rows = [[*sequence, *[0] * (longest - len(sequence))] for sequence in sequences]
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def _run(self, ids_BT: Tensor, position_BT: Tensor) -> Tensor:
        self.num_tokens_read += ids_BT.numel()
        found = self._base(input_ids=ids_BT, position_ids=position_BT, use_cache=False)
        return found.last_hidden_state.to(self.device)

    def _allowed_logits(self, hidden_RH: Tensor, ids_R: Tensor, barred: Sequence[int]) -> Tensor:
        """Logits (R, V), minus infinity for the barred tokens that are not the row's own."""
        logits_RV = self.logits(hidden_RH)
        if not barred:
            return logits_RV
        own_R1 = logits_RV.gather(1, ids_R[:, None])
        barred_ids = torch.tensor(barred, dtype=torch.long, device=self.device)
        return logits_RV.index_fill(1, barred_ids, -math.inf).scatter(1, ids_R[:, None], own_R1)

    def _log_softmax(self, hidden_RH: Tensor) -> Tensor:
        return torch.log_softmax(self.logits(hidden_RH), dim=-1)


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
