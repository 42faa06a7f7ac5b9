"""How likely tokens of a text are after something is inserted into it, from one KV cache of the text.

A text is read once, up to the last place that is asked about. What is inserted at a place, and the text from there to
the last target, are a short sequence that goes on from the text's first tokens.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from toolformer_ray.lm.attention.cache import CachedSequence, Segment
from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Insertion


class InsertionReader:
    """Reads texts and what is inserted into them. Needs a KV cache; keeps no text longer than its batch."""

    def __init__(self, network: Network, budget: TokenBudget, bos_ids: Sequence[int]) -> None:
        self._network = network
        self._budget = budget
        self._bos_ids = bos_ids

    def log_probs(self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion]) -> list[np.ndarray]:
        """Per insertion float32 (targets,): log p(x_j | x_<i, what is inserted at i, x_i .. x_{j-1})."""
        members: dict[int, list[int]] = {}
        for number, insertion in enumerate(insertions):
            members.setdefault(insertion.text, []).append(number)
        beginnings = [
            [*self._bos_ids, *texts[text][: max(insertions[number].token_index for number in numbers)]]
            for text, numbers in members.items()
        ]
        groups = list(members.values())
        answers: dict[int, np.ndarray] = {}
        for batch, segments in self._budget.batches(
            [len(ids) for ids in beginnings], lambda batch: self._network.prefill([beginnings[n] for n in batch])[1]
        ):
            segment_of = {
                number: segment for index, segment in zip(batch, segments, strict=True) for number in groups[index]
            }
            answers |= self._read_insertions(texts, insertions, segment_of)
        return [answers[number] for number in range(len(insertions))]

    def _read_insertions(
        self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion], segment_of: Mapping[int, Segment]
    ) -> dict[int, np.ndarray]:
        """The insertions into the texts of one batch, by their numbers."""
        numbers = list(segment_of)
        # The last target predicts no other target, so it is not read.
        new_ids = [insertions[n].continuation(texts[insertions[n].text])[:-1] for n in numbers]
        before = [self._before(texts[insertions[n].text][: insertions[n].token_index], segment_of[n]) for n in numbers]

        def answer(batch: list[int]) -> list[np.ndarray]:
            hidden_NLW, _ = self._network.extend([before[n] for n in batch], [new_ids[n] for n in batch])
            chosen = [insertions[numbers[n]] for n in batch]
            rows = [
                hidden_LW[[len(insertion.ids) + target - insertion.token_index - 1 for target in insertion.targets]]
                for hidden_LW, insertion in zip(hidden_NLW, chosen, strict=True)
            ]
            targets = [texts[insertion.text][target] for insertion in chosen for target in insertion.targets]
            values = self._network.token_log_probs(torch.cat(rows), torch.tensor(targets, device=hidden_NLW.device))
            return [part.numpy() for part in values.cpu().split([len(insertion.targets) for insertion in chosen])]

        found = self._budget.run([len(ids) for ids in new_ids], answer)
        return dict(zip(numbers, found, strict=True))

    def _before(self, text_ids: Sequence[int], segment: Segment) -> CachedSequence:
        ids = [*self._bos_ids, *text_ids]
        return CachedSequence(ids, ((segment, len(ids)),))
