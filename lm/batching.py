"""Batches by token budget, sequences of similar length together."""

import contextlib
import gc
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

AnswerT = TypeVar("AnswerT")

logger = logging.getLogger(__name__)

# Batches that have to fit before a budget that was halved grows again, each time by a quarter.
BATCHES_UNTIL_GROWTH = 32


class TokenBudget:
    """How many tokens go through the model at once; halved when the device's memory runs out, regained slowly."""

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise ValueError(f"token_budget is {tokens}; it must be at least 1 token")
        self.tokens = tokens
        self._most = tokens
        self._num_fitting = 0
        self._give_back: Callable[[], None] | None = None

    @contextlib.contextmanager
    def relieved_by(self, give_back: Callable[[], None]) -> Iterator[None]:
        """While it lasts, `give_back` is called where memory ran out, with the budget halved: what else holds memory
        for so many tokens lets go of it, whoever ran out."""
        self._give_back = give_back
        try:
            yield
        finally:
            self._give_back = None

    def run(self, lengths: Sequence[int], answer: Callable[[list[int]], Sequence[AnswerT]]) -> list[AnswerT]:
        """Answers for all sequences, in their order; `answer` takes the indices of one batch. Raises as `batches`."""
        answers: dict[int, AnswerT] = {}
        for batch, found in self.batches(lengths, answer):
            answers |= dict(zip(batch, found, strict=True))
        return [answers[index] for index in range(len(lengths))]

    def batches(
        self, lengths: Sequence[int], answer: Callable[[list[int]], Sequence[AnswerT]]
    ) -> Iterator[tuple[list[int], Sequence[AnswerT]]]:
        """One batch after the other, computed when it is asked for: its indices and its answers.

        A batch costs the sum of its lengths; that is at most the budget, or it is one sequence.
        The longest go first: if memory does not suffice, that shows at once.
        Raises torch.OutOfMemoryError if one sequence alone, with a budget of one token, does not fit.
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

    def attempt(self, compute: Callable[[], AnswerT]) -> AnswerT | None:
        """What `compute` returns; None, with half the budget, if memory did not suffice. Raises at one token."""
        try:
            answer = compute()
        except torch.OutOfMemoryError:
            if self.tokens == 1:
                raise
            self.tokens //= 2
            self._num_fitting = 0
        else:
            return answer
        # Outside the handler, whose traceback keeps the failed batch's tensors alive.
        if self._give_back is not None:
            self._give_back()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory on the device; going on with batches of %d tokens", self.tokens)
        return None

    def _grow(self, num_tokens: int) -> None:
        """Counts a batch that fitted; a small one proves nothing."""
        self._num_fitting += num_tokens > self.tokens // 2
        if self.tokens < self._most and self._num_fitting >= BATCHES_UNTIL_GROWTH:
            self.tokens = min(self._most, self.tokens + max(1, self.tokens // 4))
            self._num_fitting = 0
