"""Texts that are read at most once, whoever asks for the log-probabilities of their tokens, and whenever."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lm.batching import TokenBudget
from lm.network import Network


class TextReading:
    """Texts behind the beginning-of-sequence token. Keeps hidden states: which tokens will matter is not yet known."""

    def __init__(
        self, network: Network, budget: TokenBudget, bos_ids: Sequence[int], texts: Sequence[Sequence[int]]
    ) -> None:
        self._network = network
        self._budget = budget
        self._bos_ids = bos_ids
        self._texts = texts
        self._hidden: dict[int, Tensor] = {}

    @torch.inference_mode()
    def log_probs(self, wanted: Mapping[int, Sequence[int]]) -> dict[int, np.ndarray]:
        """For text number n and tokens j of it, float32 (j,): log p(x_j | x_<j). Only those rows meet the head."""
        self._read([number for number, tokens in wanted.items() if tokens and number not in self._hidden])
        numbers = [number for number, tokens in wanted.items() if tokens]
        answers = {number: np.empty(0, np.float32) for number in wanted}
        if numbers:
            rows = [self._hidden[n][[len(self._bos_ids) + j - 1 for j in wanted[n]]] for n in numbers]
            ids = torch.tensor([self._texts[n][j] for n in numbers for j in wanted[n]], device=self._network.device)
            values = self._network.token_log_probs(torch.cat(rows), ids).cpu().split([len(wanted[n]) for n in numbers])
            answers |= {number: value.numpy() for number, value in zip(numbers, values, strict=True)}
        return answers

    def _read(self, numbers: Sequence[int]) -> None:
        # The last token foretells nothing that is in the text.
        sequences = [[*self._bos_ids, *self._texts[number][:-1]] for number in numbers]

        def answer(batch: list[int]) -> list[Tensor]:
            hidden_NTW = self._network.read_alone(self._network.pad([sequences[index] for index in batch]))
            return [hidden_NTW[n, : len(sequences[index])].clone() for n, index in enumerate(batch)]

        hidden = self._budget.run([len(sequence) for sequence in sequences], answer)
        self._hidden |= dict(zip(numbers, hidden, strict=True))
