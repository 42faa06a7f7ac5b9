"""Where a call's whole opening, the start marker and the tool's name, is the most probable.

p(marker) bounds p(marker) p(name | marker) from above. So names are read at the places where the marker is the most
probable, until no other place can be among the best; what has been read is what samples go on from.
"""

import functools
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import ReadSequence
from toolformer_ray.lm.writing.prompts import PromptReader, ReadPrompt


@dataclass(eq=False)
class OpenedPrompt:
    """A prompt that has been read, and the openings that have been read at places of its text."""

    read: ReadPrompt
    log_openings: np.ndarray
    """(T,) float32: log p(opening) before each token; minus infinity where no opening has been read."""
    starts: dict[int, ReadSequence] = field(default_factory=dict)
    """By token: the prompt up to it and the opening."""
    waiting: list[int] = field(default_factory=list)
    """Tokens where the marker is possible and no opening has been read, the most probable last."""

    def next_places(self) -> list[int]:
        """Where to read next: places at which the opening may be more probable than the last of the best."""
        num_best = self.read.prompt.num_best or len(self.waiting)
        found = heapq.nlargest(num_best, (float(self.log_openings[index]) for index in self.starts))
        bound = found[-1] if len(found) == num_best and found else -math.inf
        # The first look is at as many as are wanted, later ones at a few at a time, as the bound rises.
        at_once = max(4, num_best // 4) if self.starts else num_best
        places: list[int] = []
        while self.waiting and len(places) < at_once and float(self.read.log_starts[self.waiting[-1]]) > bound:
            places.append(self.waiting.pop())
        return places


def open_best(reader: PromptReader, budget: TokenBudget, reads: Sequence[ReadPrompt]) -> list[OpenedPrompt]:
    """The openings at the best places of each prompt, all prompts together in batches.

    Where a call begins with the marker alone, nothing is read, and log p(opening) is log p(marker).
    """
    opened = [_unopened(read) for read in reads]
    while wave := [(one, index) for one in opened for index in one.next_places()]:
        lengths = [reader.num_tokens_to_open(one.read) for one, _ in wave]
        answers = budget.run(lengths, functools.partial(_open_some, reader, wave))
        for (one, index), (start, log_name) in zip(wave, answers, strict=True):
            one.starts[index] = start
            one.log_openings[index] = one.read.log_starts[index] + log_name
    return opened


def _open_some(
    reader: PromptReader, wave: Sequence[tuple[OpenedPrompt, int]], batch: Sequence[int]
) -> list[tuple[ReadSequence, float]]:
    return reader.open([(wave[number][0].read, wave[number][1]) for number in batch])


def _unopened(read: ReadPrompt) -> OpenedPrompt:
    log_starts = read.log_starts.numpy()
    if not read.prompt.opening_ids:
        return OpenedPrompt(read, log_starts)
    possible = np.flatnonzero(np.isfinite(log_starts)).tolist()
    # Of equally probable ones the earlier is read first.
    waiting = sorted(possible, key=lambda index: (float(log_starts[index]), -index))
    return OpenedPrompt(read, np.full(len(log_starts), -np.inf, np.float32), waiting=waiting)
