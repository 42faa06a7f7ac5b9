"""How likely tokens of a text are behind something written into it, from one cache of the text.

A text is read once, up to the last place that is asked about. What is written at its places, and the text from there
to the last token that counts, are so many short sequences that go on from it: [BOS] x_<i from the cache, the rest
their own.

Shapes: N sequences, L tokens of their own, W hidden width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toolformer_ray.lm.attention.packed import PackedTokens
from toolformer_ray.lm.attention.shared import CausalTokens, Layout, Segment
from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network
from toolformer_ray.lm.requests import Insertion, ScoreRequest
from toolformer_ray.lm.scoring.prompt_reading import Chain, group_by_segment


class InsertionReader:
    """Reads texts and what is inserted into them, for models that are served. Keeps no text longer than its batch."""

    def __init__(self, network: Network, budget: TokenBudget, bos_ids: Sequence[int]) -> None:
        self._network = network
        self._budget = budget
        self._bos_ids = bos_ids

    def log_probs(self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion]) -> list[np.ndarray]:
        """Per insertion float32 (targets,): log p(x_j | x_<i, what is written at i, x_i .. x_{j-1})."""
        members: dict[int, list[int]] = {}
        for number, insertion in enumerate(insertions):
            members.setdefault(insertion.text, []).append(number)
        # Of each text what stands before the last of its places.
        beginnings = [
            [*self._bos_ids, *texts[text][: max(insertions[number].token_index for number in numbers)]]
            for text, numbers in members.items()
        ]
        groups = list(members.values())
        answers: dict[int, np.ndarray] = {}
        for batch, segments in self._budget.batches(
            [len(ids) for ids in beginnings], lambda batch: self._read([beginnings[index] for index in batch])
        ):
            segment_of = {
                number: segment for index, segment in zip(batch, segments, strict=True) for number in groups[index]
            }
            answers |= self._read_insertions(texts, insertions, segment_of)
        return [answers[number] for number in range(len(insertions))]

    def _read(self, beginnings: Sequence[Sequence[int]]) -> list[Segment]:
        own = PackedTokens([len(ids) for ids in beginnings], keep=True)
        self._network.read_packed(beginnings, [], own)
        return own.segments()

    def _read_insertions(
        self, texts: Sequence[Sequence[int]], insertions: Sequence[Insertion], segment_of: dict[int, Segment]
    ) -> dict[int, np.ndarray]:
        """The insertions into some texts, by their numbers."""
        numbers = list(segment_of)
        # The last token that counts foretells none that does.
        own = [_ahead(insertions[n], texts[insertions[n].text])[:-1] for n in numbers]

        def answer(batch: list[int]) -> list[np.ndarray]:
            chosen = [insertions[numbers[index]] for index in batch]
            segments = [segment_of[numbers[index]] for index in batch]
            before = [len(self._bos_ids) + insertion.token_index for insertion in chosen]
            chains = [((segment, length),) for segment, length in zip(segments, before, strict=True)]
            hidden_NLW = self._continue([own[index] for index in batch], chains)
            return self._target_log_probs(hidden_NLW, chosen, texts)

        found = self._budget.run([len(ids) for ids in own], answer)
        return dict(zip(numbers, found, strict=True))

    def _continue(self, own: Sequence[Sequence[int]], chains: Sequence[Chain]) -> Tensor:
        """Hidden states (N, L, W) of each sequence's own tokens."""
        ids_NL = self._network.pad(own)
        first_N1 = torch.tensor([[chain[-1][1]] for chain in chains], device=ids_NL.device)
        position_NL = first_N1 + torch.arange(ids_NL.shape[1], device=ids_NL.device)
        return self._network.read(ids_NL, position_NL, Layout(group_by_segment(chains), CausalTokens()))

    def _target_log_probs(
        self, hidden_NLW: Tensor, chosen: Sequence[Insertion], texts: Sequence[Sequence[int]]
    ) -> list[np.ndarray]:
        rows = [
            hidden_LW[[len(insertion.ids) + j - insertion.token_index - 1 for j in insertion.targets]]
            for hidden_LW, insertion in zip(hidden_NLW, chosen, strict=True)
        ]
        targets = [texts[insertion.text][j] for insertion in chosen for j in insertion.targets]
        ids = torch.tensor(targets, device=self._network.device)
        values = self._network.token_log_probs(torch.cat(rows), ids)
        return [value.numpy() for value in values.cpu().split([len(insertion.targets) for insertion in chosen])]


def whole_request(bos_ids: Sequence[int], text_ids: Sequence[int], insertion: Insertion) -> ScoreRequest:
    """The same question about one whole sequence.

    >>> request = whole_request([0], [5, 6, 7, 8], Insertion(text=0, token_index=1, ids=[9, 9], targets=[2]))
    >>> list(request.ids), list(request.targets)
    ([0, 5, 9, 9, 6, 7], [5])
    """
    ids = [*bos_ids, *text_ids[: insertion.token_index], *_ahead(insertion, text_ids)]
    before = len(bos_ids) + len(insertion.ids)
    return ScoreRequest(ids=ids, targets=[before + j for j in insertion.targets])


def _ahead(insertion: Insertion, text_ids: Sequence[int]) -> list[int]:
    """What is written, and the text from there to the last token that counts."""
    return [*insertion.ids, *text_ids[insertion.token_index : insertion.targets[-1] + 1]]
