"""Texts whose tokens' log-probabilities are asked for bit by bit, and that are read at most once."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network


class TextReading:
    """Texts behind the beginning-of-sequence token. Keeps hidden states: which tokens will matter is not yet known."""

    def __init__(
        self,
        network: Network,
        budget: TokenBudget,
        bos_ids: Sequence[int],
        texts: Sequence[Sequence[int]],
        asked_again: Sequence[bool],
    ) -> None:
        """`asked_again`: whether a text may be asked about more than once; it is then read to its end."""
        self._network = network
        self._budget = budget
        self._bos_ids = bos_ids
        self._texts = texts
        self._asked_again = asked_again
        self._hidden: dict[int, Tensor] = {}

    @torch.inference_mode()
    def log_probs(self, wanted: Mapping[int, Sequence[int]]) -> dict[int, np.ndarray]:
        """For text number n and tokens j of it, float32 (j,): log p(x_j | x_<j). The head sees these rows only."""
        numbers = [number for number, tokens in wanted.items() if tokens]
        self._read({number: self._end(number, wanted[number]) for number in numbers})
        answers = {number: np.empty(0, np.float32) for number in wanted}
        if numbers:
            values = iter(self._score([(number, j) for number in numbers for j in wanted[number]]))
            answers |= {n: np.fromiter(values, np.float32, count=len(wanted[n])) for n in numbers}
        return answers

    def _score(self, tokens: Sequence[tuple[int, int]]) -> list[float]:
        """log p of tokens up to which their texts were read: the text's number, and the token's index in it."""

        def answer(batch: list[int]) -> list[float]:
            chosen = [tokens[index] for index in batch]
            rows_RW = torch.stack([self._hidden[number][len(self._bos_ids) + j - 1] for number, j in chosen])
            ids = torch.tensor([self._texts[number][j] for number, j in chosen], device=self._network.device)
            values: list[float] = self._network.token_log_probs(rows_RW, ids).tolist()
            return values

        return self._budget.run([1] * len(tokens), answer)

    def _end(self, number: int, tokens: Sequence[int]) -> int:
        """How many tokens of a text to read: those before the last that is asked for, or before the text's last."""
        return len(self._texts[number]) - 1 if self._asked_again[number] else max(tokens)

    def _read(self, ends: Mapping[int, int]) -> None:
        missing = [
            number for number, end in ends.items() if len(self._hidden.get(number, ())) < len(self._bos_ids) + end
        ]
        sequences = [[*self._bos_ids, *self._texts[number][: ends[number]]] for number in missing]

        def answer(batch: list[int]) -> list[Tensor]:
            # Copies, so that a text does not keep its whole batch in memory.
            return [hidden_TW.clone() for hidden_TW in self._network.read_whole([sequences[index] for index in batch])]

        hidden = self._budget.run([len(sequence) for sequence in sequences], answer)
        self._hidden |= dict(zip(missing, hidden, strict=True))
