"""How likely tokens of a text are after something is inserted into it, from one KV cache of the text.

A text is read once, up to the last place that is asked about. An opening goes on from the text's first tokens, and is
read once too; behind it, each ending and the text from the place to the last target are a short sequence of their own.
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
        """Per insertion float32 (endings, targets): log p(x_j | x_<i, what is inserted at i, x_i .. x_{j-1})."""
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
        openings = [insertions[n].opening for n in numbers]
        before = [self._before(texts[insertions[n].text][: insertions[n].token_index], segment_of[n]) for n in numbers]

        def read(batch: list[int]) -> list[CachedSequence]:
            found = self._network.append([before[n] for n in batch], [openings[n] for n in batch])
            return [sequence for sequence, _ in found]

        answers: dict[int, np.ndarray] = {}
        for batch, opened in self._budget.batches([len(ids) for ids in openings], read):
            chosen = [insertions[numbers[n]] for n in batch]
            found = iter(self._read_endings(texts, chosen, opened))
            for n, insertion in zip(batch, chosen, strict=True):
                answers[numbers[n]] = np.stack([next(found) for _ in insertion.endings])
        return answers

    def _read_endings(
        self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion], opened: Sequence[CachedSequence]
    ) -> list[np.ndarray]:
        """The targets behind each ending of each insertion, whose opening has been read."""
        # The last target predicts no other target, so it is not read.
        endings = [
            (insertion, before, ids[:-1])
            for insertion, before in zip(insertions, opened, strict=True)
            for ids in insertion.continuations(texts[insertion.text])
        ]

        def answer(batch: list[int]) -> list[np.ndarray]:
            chosen = [endings[n] for n in batch]
            self._network.done["losses"] += len(chosen)
            hidden_NLW, _ = self._network.extend([before for _, before, _ in chosen], [ids for _, _, ids in chosen])
            rows = [
                hidden_LW[[len(ids) - 1 - insertion.targets[-1] + target for target in insertion.targets]]
                for hidden_LW, (insertion, _, ids) in zip(hidden_NLW, chosen, strict=True)
            ]
            targets = [texts[insertion.text][target] for insertion, _, _ in chosen for target in insertion.targets]
            values = self._network.token_log_probs(torch.cat(rows), torch.tensor(targets, device=hidden_NLW.device))
            return [part.numpy() for part in values.cpu().split([len(each.targets) for each, _, _ in chosen])]

        return self._budget.run([len(ids) for _, _, ids in endings], answer)

    def _before(self, text_ids: Sequence[int], segment: Segment) -> CachedSequence:
        ids = [*self._bos_ids, *text_ids]
        return CachedSequence(ids, ((segment, len(ids)),))
