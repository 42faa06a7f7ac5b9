"""Chosen tokens of whole sequences: their log-probabilities, or whether each is the likeliest."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import ScoreRequest, TokenScores


class SequenceScorer:
    """Reads every sequence up to its last target. `barred` entries have probability 0 unless they are the target."""

    def __init__(self, network: Network, budget: TokenBudget, barred: Sequence[int] = ()) -> None:
        self._network = network
        self._budget = budget
        self._barred = barred

    def log_probs(self, requests: Sequence[ScoreRequest]) -> list[np.ndarray]:
        """Per request float32 (targets,)."""

        def answer(batch: list[int]) -> list[np.ndarray]:
            chosen = [requests[index] for index in batch]
            rows = [self._rows(request, hidden_TW) for request, hidden_TW in self._read(chosen)]
            targets = [request.ids[target] for request in chosen for target in request.targets]
            values = self._network.token_log_probs(torch.cat(rows), self._ids(targets), self._barred).cpu()
            self._network.done["losses"] += len(chosen)
            return [part.numpy() for part in values.split([len(request.targets) for request in chosen])]

        return self._budget.run([_end(request) for request in requests], answer)

    def likeliest(self, requests: Sequence[ScoreRequest], num_likeliest: int) -> list[TokenScores]:
        """Per request the log-probabilities of its targets and of the likeliest entries at their places."""

        def answer(batch: list[int]) -> list[TokenScores]:
            return [
                self._with_likeliest(request, hidden_TW, num_likeliest)
                for request, hidden_TW in self._read([requests[index] for index in batch])
            ]

        return self._budget.run([_end(request) for request in requests], answer)

    def _with_likeliest(self, request: ScoreRequest, hidden_TW: Tensor, num_likeliest: int) -> TokenScores:
        own = self._ids([request.ids[target] for target in request.targets])
        rows_RW = self._rows(request, hidden_TW)
        found = self._network.likeliest_log_probs(rows_RW, own, num_likeliest, self._barred)
        log_probs, ids, of_likeliest = (part.cpu().numpy() for part in found)
        return TokenScores(log_probs=log_probs, likeliest_ids=ids, likeliest_log_probs=of_likeliest)

    def are_greedy(self, requests: Sequence[ScoreRequest]) -> list[bool]:
        """Per request whether every target is the likeliest token at its place."""

        def answer(batch: list[int]) -> list[bool]:
            read = self._read([requests[index] for index in batch])
            return [
                self._network.are_likeliest(
                    self._rows(request, hidden_TW), self._ids([request.ids[j] for j in request.targets]), self._barred
                )
                for request, hidden_TW in read
            ]

        return self._budget.run([_end(request) for request in requests], answer)

    def _read(self, requests: Sequence[ScoreRequest]) -> list[tuple[ScoreRequest, Tensor]]:
        """Each request with its hidden states (T, W); nothing from the last target on is read."""
        hidden = self._network.read_whole([request.ids[: _end(request)] for request in requests])
        return list(zip(requests, hidden, strict=True))

    def _rows(self, request: ScoreRequest, hidden_TW: Tensor) -> Tensor:
        """What predicts the targets (targets, W): the hidden state before each."""
        return hidden_TW[[target - 1 for target in request.targets]]

    def _ids(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self._network.device)


def _end(request: ScoreRequest) -> int:
    return max(request.targets, default=1)
