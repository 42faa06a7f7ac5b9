"""The engine's front: a causal language model that is asked about whole lists of sequences (paper, section 2).

Three questions: how probable a call's start is before every token of a text, samples that continue from chosen places,
and the log-probability of chosen tokens. Batches, caches, devices stay behind them; answers come in request order.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lm.batching import TokenBudget
from lm.fingerprint import fingerprint_folder, fingerprint_weights
from lm.loading import check_agreement, find_folder, load_network, read_window
from lm.network import Network, expand
from lm.prefix_cache import PrefixCache
from lm.requests import Sample, SampleRequest, ScoreRequest, StartRequest
from lm.sampling import SampleBatch, SamplingOptions
from lm.tokenizer import TextTokenizer

DEFAULT_TOKEN_BUDGET = 4096


class LanguageModel:
    """A causal LM with its tokenizer on one device."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: TextTokenizer,
        *,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        folder: Path | None = None,
    ) -> None:
        """`folder` holds the model's files, if it came from there.

        Raises ValueError for a model that the engine cannot run exactly.
        """
        if not tokenizer.bos_ids:
            raise ValueError(
                f"tokenizer of {tokenizer.name!r} has neither a beginning- nor an end-of-sequence token, so nothing "
                "can stand before a text's first token; set bos_token in its tokenizer_config.json"
            )
        self.tokenizer = tokenizer
        self._folder = folder
        self.window = read_window(model.config, tokenizer.name)
        """The longest sequence, in tokens."""
        self._network = Network(model)
        self._budget = TokenBudget(token_budget)
        self._prefixes = PrefixCache(self._network)
        check_agreement(self._network, tokenizer)

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        token_budget: int = DEFAULT_TOKEN_BUDGET,
    ) -> Self:
        """A model by its folder or name; `device` as torch names it, `dtype` "float32" or "bfloat16".

        Reads safetensors only and runs no code from the model's folder. Raises ValueError, one line, if a value is
        wrong or the model cannot be used.
        """
        tokenizer = TextTokenizer.load(name_or_path)
        model = load_network(name_or_path, device=device, dtype=dtype)
        return cls(model, tokenizer, token_budget=token_budget, folder=find_folder(name_or_path))

    @property
    def fingerprint(self) -> str:
        """A hash of the configuration, weights and tokenizer; the same for a copy elsewhere and on every device."""
        return fingerprint_folder(self._folder) if self._folder else fingerprint_weights(self._network.model)

    @torch.inference_mode()
    def start_log_probs(self, shared_ids: Sequence[int], requests: Sequence[StartRequest]) -> list[np.ndarray]:
        """Per request float32 (tokens of its text,): log p(start marker | shared, own, text before the token).

        The probabilities of all spellings of the marker are added. `shared_ids` is read once and remembered.
        """
        _check_shared(shared_ids)
        self._check_lengths(len(shared_ids) + len(r.own_ids) + len(r.text_ids) for r in requests)
        # The last shared token is read again with each request: even the first row is then among those read.
        shared = self._prefixes.key_values(shared_ids[:-1])
        sequences = [[*shared_ids[-1:], *r.own_ids, *r.text_ids[:-1]] for r in requests]
        counts = [len(r.text_ids) for r in requests]

        def answer(batch: list[int]) -> list[np.ndarray]:
            past = None if shared is None else expand(shared, len(batch))
            hidden_BTH, _ = self._network.read(self._network.pad([sequences[index] for index in batch]), past)
            rows = [
                hidden_TH[len(sequences[index]) - counts[index] : len(sequences[index])]
                for index, hidden_TH in zip(batch, hidden_BTH, strict=True)
            ]
            return self._split(self._marker_log_probs(torch.cat(rows)), [counts[index] for index in batch])

        return self._budget.run([len(sequence) for sequence in sequences], answer)

    @torch.inference_mode()
    def start_log_probs_alone(self, shared_ids: Sequence[int], request: StartRequest) -> np.ndarray:
        """The same for one request, from its whole sequence: batch of one, no cache. Settles what is close."""
        _check_shared(shared_ids)
        ids = [*shared_ids, *request.own_ids, *request.text_ids[:-1]]
        self._check_lengths([len(ids) + 1])
        hidden_TH = self._network.read_alone(self._network.pad([ids]))[0]
        return self._marker_log_probs(hidden_TH[len(ids) - len(request.text_ids) :]).cpu().numpy()

    @torch.inference_mode()
    def log_probs(self, requests: Sequence[ScoreRequest]) -> list[np.ndarray]:
        """Per request float32 (targets,): log p(ids[j] | ids[:j]) for each target j. Nothing after the last is read."""
        for request in requests:
            _check_targets(request)
        self._check_lengths(len(r.ids) for r in requests)
        ends = [max(r.targets, default=0) for r in requests]

        def answer(batch: list[int]) -> list[np.ndarray]:
            chosen = [requests[index] for index in batch]
            ids_BT = self._network.pad([r.ids[: ends[index]] for index, r in zip(batch, chosen, strict=True)])
            return self._target_log_probs(self._network.read_alone(ids_BT), chosen)

        return self._budget.run(ends, answer)

    @torch.inference_mode()
    def log_probs_alone(self, request: ScoreRequest) -> np.ndarray:
        """The same for one request, batch of one. Settles what is close."""
        _check_targets(request)
        self._check_lengths([len(request.ids)])
        ids_BT = self._network.pad([request.ids[: max(request.targets, default=0)]])
        return self._target_log_probs(self._network.read_alone(ids_BT), [request])[0]

    @torch.inference_mode()
    def sample(
        self,
        shared_ids: Sequence[int],
        requests: Sequence[SampleRequest],
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
    ) -> list[list[list[Sample]]]:
        """Per request, per place, per key one sample: what the model writes after the start marker at that place.

        A sample depends on its sequence and its key alone, not on the batch, in float32 on one kind of device.
        """
        _check_shared(shared_ids)
        options = SamplingOptions(max_new_tokens=max_new_tokens, temperature=temperature)
        ends = [max((place.token_index for place in r.places), default=0) for r in requests]
        new = len(self.tokenizer.open_ids) + max_new_tokens
        self._check_lengths(len(shared_ids) + len(r.own_ids) + e + new for r, e in zip(requests, ends, strict=True))
        shared = self._prefixes.key_values(shared_ids[:-1])

        def answer(batch: list[int]) -> list[list[list[Sample]]]:
            chosen = [requests[index] for index in batch]
            samples = SampleBatch(self._network, self.tokenizer, shared_ids, shared, chosen)
            return samples.draw(options, max_drafts=max(1, self._budget.tokens // max_new_tokens))

        return self._budget.run([1 + len(r.own_ids) + e for r, e in zip(requests, ends, strict=True)], answer)

    def _marker_log_probs(self, hidden_RH: Tensor) -> Tensor:
        return self._network.any_token_log_probs(hidden_RH, self.tokenizer.start_marker_ids)

    def _target_log_probs(self, hidden_BTH: Tensor, requests: Sequence[ScoreRequest]) -> list[np.ndarray]:
        # The hidden state after token j - 1 foretells token j.
        rows = [hidden_TH[[j - 1 for j in r.targets]] for hidden_TH, r in zip(hidden_BTH, requests, strict=True)]
        targets = torch.tensor([r.ids[j] for r in requests for j in r.targets], device=self._network.device)
        return self._split(self._network.token_log_probs(torch.cat(rows), targets), [len(r.targets) for r in requests])

    @staticmethod
    def _split(values: Tensor, counts: Sequence[int]) -> list[np.ndarray]:
        return [part.numpy() for part in values.cpu().split(list(counts))]

    def _check_lengths(self, lengths: Iterable[int]) -> None:
        longest = max(lengths, default=0)
        if longest > self.window:
            raise ValueError(
                f"a sequence of {longest} tokens exceeds the window of {self.window} tokens of "
                f"{self.tokenizer.name!r}; cut the texts shorter or use a model with a longer window"
            )


def _check_shared(shared_ids: Sequence[int]) -> None:
    if not shared_ids:
        raise ValueError("shared_ids is empty; every sequence begins with the tokenizer's bos_ids")


def _check_targets(request: ScoreRequest) -> None:
    for target in request.targets:
        if not 1 <= target < len(request.ids):
            raise ValueError(f"target {target} must lie between 1 and {len(request.ids) - 1}, inside the sequence")
