"""Batches by token budget: sequences of similar length together, so that little of a batch is padding."""

import gc
import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

AnswerT = TypeVar("AnswerT")

logger = logging.getLogger(__name__)


class TokenBudget:
    """How many tokens go through the model at once; halved, and kept so, whenever the device's memory runs out."""

    def __init__(self, tokens: int) -> None:
        if tokens < 1:
            raise ValueError(f"token_budget is {tokens}; it must be at least 1 token")
        self.tokens = tokens

    def run(self, lengths: Sequence[int], answer: Callable[[list[int]], Sequence[AnswerT]]) -> list[AnswerT]:
        """Answers for all sequences, in their order; `answer` takes the indices of one batch.

        A batch of n sequences costs n times its longest, padding included; that is at most the budget, or n is 1.
        The longest go first: if memory does not suffice, that shows at once.
        Raises torch.OutOfMemoryError if one sequence alone, with a budget of one token, does not fit.
        """
        answers: dict[int, AnswerT] = {}
        waiting = sorted(range(len(lengths)), key=lambda index: -lengths[index])
        while waiting:
            batch = waiting[: max(1, self.tokens // max(1, lengths[waiting[0]]))]
            found = self._answer_or_halve(batch, answer)
            if found is not None:
                answers |= dict(zip(batch, found, strict=True))
                waiting = waiting[len(batch) :]
        return [answers[index] for index in range(len(lengths))]

    def _answer_or_halve(
        self, batch: list[int], answer: Callable[[list[int]], Sequence[AnswerT]]
    ) -> Sequence[AnswerT] | None:
        try:
            return answer(batch)
        except torch.OutOfMemoryError:
            if self.tokens == 1:
                raise
            self.tokens //= 2
        # Outside the handler, whose traceback keeps the failed batch's tensors alive.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning("out of memory on the device; going on with batches of %d tokens", self.tokens)
        return None
