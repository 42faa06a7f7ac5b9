"""The engine asked about places only, or about samples only: what tests compare with brute force."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.requests import Place, Prompt, Sample


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A text behind its own ids, and places in it."""

    own_ids: Sequence[int]
    text_ids: Sequence[int]
    places: Sequence[Place] = ()

    def prompt(self, shared_ids: Sequence[int]) -> Prompt:
        return Prompt(shared_ids=shared_ids, own_ids=self.own_ids, text_ids=self.text_ids)


def start_log_probs(model: LanguageModel, shared_ids: Sequence[int], asked: Sequence[Asked]) -> list[np.ndarray]:
    """What the engine shows when places are to be chosen."""
    shown: dict[int, np.ndarray] = {}

    def choose(batch: Sequence[int], log_starts: Sequence[np.ndarray]) -> list[list[Place]]:
        shown.update(zip(batch, log_starts, strict=True))
        return [[] for _ in batch]

    model.sample_calls([one.prompt(shared_ids) for one in asked], choose, max_new_tokens=1)
    return [shown[index] for index in range(len(asked))]


def draw_samples(
    model: LanguageModel, shared_ids: Sequence[int], asked: Sequence[Asked], *, max_new_tokens: int
) -> list[list[list[Sample]]]:
    """Samples at places that are known beforehand."""
    return model.sample_calls(
        [one.prompt(shared_ids) for one in asked],
        lambda batch, log_starts: [asked[index].places for index in batch],
        max_new_tokens=max_new_tokens,
    )
