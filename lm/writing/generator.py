"""The step loop that writes texts, one token of each per pass, as many at a time as there are slots.

Continuous batching: a text that ends or waits leaves its slot to the next at once, and comes back with its KV cache.
What is written is decided by its author (`lm.writing.author`). In float32 and on one kind of device a text depends on
its ids, key and author alone, not on the batch: a choice that is too close to call is made on the text by itself.
When memory runs out, all texts leave their slots and are read again, fewer at a time.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from toolformer_ray.lm.attention.cache import CachedSequence
from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network, ReadSequence
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.author import Author, Choice, Step
from toolformer_ray.lm.writing.next_token import Chooser
from toolformer_ray.lm.writing.noise import Noise
from toolformer_ray.lm.writing.sequences import new_sequences
from toolformer_ray.lm.writing.text import Text
from toolformer_ray.records.errors import OptionError

FoundT = TypeVar("FoundT")

WAITING_PER_SLOT = 4
"""Start no new text while more than this many texts per slot wait: they hold memory, and may wait for long."""
PREFILLS_PER_SLOT = 1 / 8
MOST_STEPS_DELAYED = 4
"""Prefill queued texts together: when they would fill an eighth of the slots, or after four steps."""


class Generator:
    """Not thread-safe. `step` does one decode step and one prefill; the caller takes care of texts that wait."""

    def __init__(self, network: Network, tokenizer: TextTokenizer, budget: TokenBudget, num_slots: int) -> None:
        if num_slots < 1:
            raise OptionError("batch_size", num_slots, "it must be at least 1 text")
        self._network = network
        self._budget = budget
        self._most_slots = num_slots
        self._chooser = Chooser(network, tokenizer)
        self._sequences = new_sequences(network, budget)
        self._active: list[Text] = []
        """The texts in slots; each has one unread token."""
        self._queue: deque[Text] = deque()
        """Texts to prefill."""
        self._waiting: set[Text] = set()
        self._num_steps_delayed = 0
        self.num_passes = 0

    @property
    def num_in_hand(self) -> int:
        """Texts that are being written or queued; those that wait do not count."""
        return len(self._active) + len(self._queue)

    @property
    def num_slots(self) -> int:
        """Fewer than asked for while the token budget is reduced."""
        return self._budget.share_of(self._most_slots)

    @property
    def has_work(self) -> bool:
        """Whether `step` would do anything."""
        return bool(self._active) or (bool(self._queue) and self._may_enter(self._queue[0]))

    def begin(
        self, author: Author, ids: Sequence[int], *, temperature: float = 0.0, top_p: float = 1.0, key: int = 0
    ) -> Text:
        """Queue a text that goes on from `ids`; `key`, 0 <= key < 2**128, is all its randomness."""
        text = Text(author, list(ids), len(ids), temperature, self._noise(temperature, key), top_p=top_p)
        self._queue.append(text)
        return text

    def fork(
        self,
        starts: Sequence[ReadSequence],
        branches: Sequence[Sequence[tuple[Author, int | None]]],
        *,
        temperature: float,
    ) -> list[Text]:
        """Texts that go on from sequences already read, one per author and key, several from each sequence.

        Without a key a text takes the likeliest token every time.
        Their first tokens are chosen here, from one row of logits per sequence; `enter` those that are not over.
        """
        texts = [
            [self._branch(start, author, key, temperature) for author, key in branch]
            for (start, _), branch in zip(starts, branches, strict=True)
        ]
        at_once = max(1, self._network.head_rows // max(1, *map(len, texts)))
        for first in range(0, len(starts), at_once):
            logits_RV = self._network.logits(torch.stack([hidden for _, hidden in starts[first : first + at_once]]))
            some = texts[first : first + at_once]
            rows = [row for row, branch in enumerate(some) for _ in branch]
            flat = [text for branch in some for text in branch]
            for text, choice in zip(flat, self._chooser.choose_by_logits(flat, logits_RV[rows]), strict=True):
                text.take(choice)
        return [text for branch in texts for text in branch]

    def _branch(self, start: CachedSequence, author: Author, key: int | None, temperature: float) -> Text:
        temperature, key = (0.0, 0) if key is None else (temperature, key)
        return Text(author, list(start.ids), 0, temperature, self._noise(temperature, key), start=start, cached=start)

    def enter(self, text: Text) -> None:
        """Put a text with one unread token behind its cached ones into a slot, at once."""
        self._active.append(text)
        if self._attempt(lambda: self._sequences.enter(text.cached)) is not None:
            text.cached = text.start

    def resume(self, text: Text, step: Step) -> None:
        """A text that waited goes on, before those that have not begun."""
        self._waiting.discard(text)
        text.follow(step, num_read=len(text.cached.ids))
        self._put_aside(text)

    def forget(self, text: Text) -> None:
        """Write no more of a text, wherever it is."""
        text.end()
        self._waiting.discard(text)
        if text in self._active:
            self._leave(self._active.index(text))
        if text in self._queue:
            self._queue.remove(text)

    @torch.inference_mode()
    def step(self) -> list[Text]:
        """Write one token of every text in a slot, and prefill queued texts; returns those that were decided on."""
        texts = self._decode() if self._active else []
        if self._queue and len(self._active) < self.num_slots and self._is_worth_a_pass():
            texts += self._prefill()
        return texts

    def give_up_slots(self) -> None:
        """Free the memory of all slots; their texts are queued first, to be read again."""
        for text in reversed(self._active):
            text.lose_cache()
            self._queue.appendleft(text)
        self._active, self._sequences = [], new_sequences(self._network, self._budget)

    def _decode(self) -> list[Text]:
        texts = list(self._active)
        choices = self._attempt(
            lambda: self._chooser.choose(texts, self._sequences.write([text.ids[-1] for text in self._active]))
        )
        if choices is None:
            return []
        self.num_passes += 1
        # From the last: where one leaves, the last one takes its number.
        for number in reversed(range(len(texts))):
            self._go_on(number, choices[number])
        return texts

    def _go_on(self, number: int, choice: Choice) -> None:
        """A text stays in its slot if it has one token to be read next."""
        text = self._active[number]
        text.take(choice)
        if text.num_unread:
            self._sequences.shorten(number, len(text.ids) - text.num_unread)
        if text.num_unread == 1:
            return
        if not text.is_over:
            text.cached = self._sequences.copy(number)
        self._put_aside(text)
        self._leave(number)

    def _prefill(self) -> list[Text]:
        batch = self._next_batch()
        if not batch:
            return []
        found = self._attempt(lambda: self._read(batch))
        if found is None:
            self._queue.extendleft(reversed(batch))
            return []
        self.num_passes += 1
        for text, (cached, _), choice in zip(batch, *found, strict=True):
            text.cached = cached
            text.take(choice)
            if text.num_unread == 1:
                text.cached = cached.first(len(text.ids) - 1)
                self.enter(text)
            else:
                self._put_aside(text)
        return batch

    def _put_aside(self, text: Text) -> None:
        """A text that is in no slot: queued if it has tokens to read, or waiting, or over."""
        if text.num_unread:
            text.cached = text.cached.first(len(text.ids) - text.num_unread)
            self._queue.appendleft(text)
        elif not text.is_over:
            self._waiting.add(text)

    def _read(self, batch: Sequence[Text]) -> tuple[list[ReadSequence], list[Choice]]:
        read = self._network.append([text.cached for text in batch], [text.ids[-text.num_unread :] for text in batch])
        return read, self._chooser.choose(batch, torch.stack([hidden_W for _, hidden_W in read]))

    def _next_batch(self) -> list[Text]:
        """The first of the queue, as many as the budget and the slots allow."""
        batch: list[Text] = []
        longest = 0
        while self._queue and len(self._active) + len(batch) < self.num_slots:
            text = self._queue[0]
            longest = max(longest, text.num_unread if self._network.has_kv_cache else len(text.ids))
            is_too_much = longest * (len(batch) + 1) > self._budget.tokens
            if (batch and is_too_much) or not self._may_enter(text):
                break
            batch.append(self._queue.popleft())
        return batch

    def _may_enter(self, text: Text) -> bool:
        """Texts that come back may always; new ones not while too many wait."""
        return bool(text.cached.ids) or len(self._waiting) < WAITING_PER_SLOT * self.num_slots

    def _is_worth_a_pass(self) -> bool:
        """Whether queued texts are prefilled now: a pass for one text takes half as long as a pass for many."""
        self._num_steps_delayed += 1
        is_worth = (
            not self._active
            or len(self._queue) >= PREFILLS_PER_SLOT * self.num_slots
            or self._num_steps_delayed == MOST_STEPS_DELAYED
        )
        if is_worth:
            self._num_steps_delayed = 0
        return is_worth

    def _attempt(self, compute: Callable[[], FoundT]) -> FoundT | None:
        """What `compute` returns; None if memory ran out, with half the budget and all slots given up."""
        found = self._budget.attempt(compute)
        if found is None:
            self.give_up_slots()
        return found

    def _leave(self, number: int) -> None:
        self._sequences.leave(number)
        self._active[number] = self._active[-1]
        del self._active[-1]

    def _noise(self, temperature: float, key: int) -> Noise | None:
        return Noise(key, self._network.vocabulary_size) if temperature > 0 else None
