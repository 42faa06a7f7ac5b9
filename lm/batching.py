"""Batches within a token budget, sequences of similar length together."""

import contextlib
import gc
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from toolformer_ray.records.errors import OptionError

FoundT = TypeVar("FoundT")

logger = logging.getLogger(__name__)

BATCHES_UNTIL_GROWTH = 32
"""How many full batches have to fit before a reduced budget grows by a quarter."""


class TokenBudget:
    """How many tokens go through the model at once; halved when the device's memory runs out, regained slowly."""

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise OptionError("token_budget", tokens, "it must be at least 1 token")
        self.tokens = tokens
        self.most = tokens
        """What was asked for."""
        self._num_fitting = 0
        self._give_back: Callable[[], None] | None = None

    def share_of(self, number: int) -> int:
        """The number, at least 1, reduced as the budget is."""
        return max(1, number * self.tokens // self.most)

    @contextlib.contextmanager
    def relieved_by(self, give_back: Callable[[], None]) -> Iterator[None]:
        """Within the context, `give_back` is called whenever memory has run out, after the budget was halved, so that
        other holders of memory release theirs."""
        self._give_back = give_back
        try:
            yield
        finally:
            self._give_back = None

    def run(self, lengths: Sequence[int], answer: Callable[[list[int]], Sequence[FoundT]]) -> list[FoundT]:
        """The answers for all sequences, in their order; see `batches`."""
        answers: dict[int, FoundT] = {}
        for batch, found in self.batches(lengths, answer):
            answers |= dict(zip(batch, found, strict=True))
        return [answers[index] for index in range(len(lengths))]

    def batches(
        self, lengths: Sequence[int], answer: Callable[[list[int]], Sequence[FoundT]]
    ) -> Iterator[tuple[list[int], Sequence[FoundT]]]:
        """One batch after the other, computed when it is asked for: the sequences' indices and their answers.

        The lengths of a batch add up to the budget at most, or it is one sequence. The longest go first, so that a
        shortage of memory shows at once. Raises torch.OutOfMemoryError if a single sequence, with a budget of one
        token, does not fit.
        """
        waiting = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        while waiting:
            totals = itertools.accumulate(lengths[index] for index in waiting)
            batch = waiting[: max(1, sum(1 for _ in itertools.takewhile(lambda total: total <= self.tokens, totals)))]
            found = self.attempt(lambda batch=batch: answer(batch))  # type: ignore[misc]
            if found is not None:
                self._grow(sum(lengths[index] for index in batch))
                waiting = waiting[len(batch) :]
                yield batch, found

    def attempt(self, compute: Callable[[], FoundT]) -> FoundT | None:
        """What `compute` returns; None, with half the budget, if memory ran out. Raises at a budget of one token."""
        try:
            found = compute()
        except torch.OutOfMemoryError:
            if self.tokens == 1:
                raise
            self.tokens //= 2
            self._num_fitting = 0
        else:
            return found
        # Outside of the handler, whose traceback keeps the failed batch's tensors alive.
        if self._give_back is not None:
            self._give_back()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory on the device; going on with batches of %d tokens", self.tokens)
        return None

    def _grow(self, num_tokens: int) -> None:
        """Count a batch that fitted; a small one proves nothing."""
        self._num_fitting += num_tokens > self.tokens // 2
        if self.tokens < self.most and self._num_fitting >= BATCHES_UNTIL_GROWTH:
            self.tokens = min(self.most, self.tokens + max(1, self.tokens // 4))
            self._num_fitting = 0
