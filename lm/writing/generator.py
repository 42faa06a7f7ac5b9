"""Texts written token by token, as many at a time as there are slots (paper, section 2, inference).

Continuous batching: a text that ends or waits leaves its slot to the next at once, with its own keys and values if it
comes back. What is written is its author's affair (`lm.writing.author`). A text depends on its ids, key and author
alone, not
on the batch, in float32 on one kind of device: a choice that is too close to call is made on the text by itself.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import HEAD_ROWS, Network
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.writing.author import Author, Choice, Step, Wait, Write
from toolformer_ray.lm.writing.kept_sequences import CachedSequences, KeptSequences, WholeSequences
from toolformer_ray.lm.writing.next_token import Chooser, Rule
from toolformer_ray.lm.writing.noise import Noise
from toolformer_ray.lm.writing.own_tokens import Kept

# What waits takes up memory, and may wait for long.
MOST_WAITING = 4
"""Times the slots: while so many texts wait, no other begins."""
ARRIVALS_TOGETHER = 8
MOST_STEPS_PUT_OFF = 4
"""Texts that arrive are read together once they would fill an eighth of the slots, or after four steps."""


@dataclass(eq=False)
class Text:
    """One text in the making."""

    author: Author
    ids: list[int]
    """All that stands, and of it, what no pass has read yet: `ids[-num_unread:]`."""
    num_unread: int
    temperature: float
    noise: Noise | None
    kept: Kept = field(default_factory=lambda: Kept([]))
    """What has been read of it while it is in no slot."""
    is_over: bool = False


class Generator:
    """Not for several threads. `step` does one pass of each kind; whoever calls it sees to texts that wait."""

    def __init__(self, network: Network, tokenizer: TextTokenizer, budget: TokenBudget, num_slots: int) -> None:
        if num_slots < 1:
            raise ValueError(f"batch_size is {num_slots}; it must be at least 1 text")
        self._network = network
        self._budget = budget
        self._num_slots = num_slots
        self._chooser = Chooser(tokenizer, network.device)
        # In fewer bits two entries are often equal, by the text alone as well: reading it again would settle nothing.
        self._settles_ties = network.model.dtype == torch.float32
        self._slots = self._new_slots()
        self._active: list[Text] = []
        self._arriving: deque[Text] = deque()
        self._num_waiting = 0
        self._num_steps_put_off = 0
        self.num_passes = 0

    @property
    def num_in_hand(self) -> int:
        """Texts that are being written or about to be; those that wait are not among them."""
        return len(self._active) + len(self._arriving)

    @property
    def has_work(self) -> bool:
        """Whether `step` would do anything: some texts are written, or the first of those to be may begin."""
        return bool(self._active) or (bool(self._arriving) and self._may_enter(self._arriving[0]))

    def begin(self, author: Author, ids: Sequence[int], *, temperature: float = 0.0, key: int = 0) -> Text:
        """A text that goes on from `ids`; `key`, 0 <= key < 2**128, is all its randomness."""
        noise = Noise(key, self._network.vocabulary_size) if temperature > 0 else None
        text = Text(author, list(ids), len(ids), temperature, noise)
        self._arriving.append(text)
        return text

    def resume(self, text: Text, step: Step) -> None:
        """A text that waited comes back, before those that have not begun."""
        self._num_waiting -= 1
        if not self._settle(text, step, length=len(text.kept.ids)):
            return
        text.kept = text.kept.first(len(text.ids) - text.num_unread)
        self._arriving.appendleft(text)

    def forget(self, text: Text) -> None:
        """Write no more of it, wherever it is."""
        self._num_waiting -= text.num_unread == 0 and not text.is_over
        text.is_over = True
        if text in self._active:
            self._remove(self._active.index(text))
        if text in self._arriving:
            self._arriving.remove(text)

    @torch.inference_mode()
    def step(self) -> list[Text]:
        """Write one token more of every text in a slot, and take in texts that arrive; those that were decided on."""
        texts = self._write() if self._active else []
        if self._arriving and len(self._active) < self._num_slots and self._is_worth_a_pass():
            texts += self._take_in()
        return texts

    def _is_worth_a_pass(self) -> bool:
        """Whether those that arrive are read now; a pass for one text takes half as long as one for many."""
        self._num_steps_put_off += 1
        is_worth = (
            not self._active
            or len(self._arriving) * ARRIVALS_TOGETHER >= self._num_slots
            or self._num_steps_put_off == MOST_STEPS_PUT_OFF
        )
        if is_worth:
            self._num_steps_put_off = 0
        return is_worth

    def _new_slots(self) -> KeptSequences:
        return CachedSequences(self._network) if self._network.is_served else WholeSequences(self._network)

    def _write(self) -> list[Text]:
        hidden_NW = self._budget.attempt(lambda: self._slots.write([text.ids[-1] for text in self._active]))
        if hidden_NW is None:
            self._retreat()
            return []
        self.num_passes += 1
        texts = list(self._active)
        leaving = [
            number
            for number, (text, choice) in enumerate(zip(texts, self._choose(texts, hidden_NW), strict=True))
            if not self._go_on(number, text, choice)
        ]
        # From the last: where one leaves, the last takes its number.
        for number in reversed(leaving):
            text = self._active[number]
            if not text.is_over:
                text.kept = self._slots.leave(number)
                self._forget_number(number)
                if text.num_unread:
                    self._arriving.appendleft(text)
            else:
                self._remove(number)
        return texts

    def _go_on(self, number: int, text: Text, choice: Choice) -> bool:
        """Whether the text keeps its slot: it has one token to be read."""
        if not self._settle(text, text.author.take(choice), length=len(text.ids)):
            return False
        self._slots.shorten(number, len(text.ids) - text.num_unread)
        return text.num_unread == 1

    def _next_to_arrive(self) -> list[Text]:
        """One batch, at most what the budget and the slots allow."""
        batch: list[Text] = []
        num_tokens = 0
        while self._arriving and len(self._active) + len(batch) < self._num_slots:
            text = self._arriving[0]
            num_tokens = max(num_tokens, text.num_unread)
            is_too_much = num_tokens * (len(batch) + 1) > self._budget.tokens
            if (batch and is_too_much) or not self._may_enter(text):
                break
            batch.append(self._arriving.popleft())
        return batch

    def _may_enter(self, text: Text) -> bool:
        """None begins while very many wait; those that come back may always."""
        return bool(text.kept.ids) or self._num_waiting < MOST_WAITING * self._num_slots

    def _take_in(self) -> list[Text]:
        if not (batch := self._next_to_arrive()):
            return []
        read = self._budget.attempt(
            lambda: self._slots.read([text.kept for text in batch], [text.ids[-text.num_unread :] for text in batch])
        )
        if read is None:
            self._arriving.extendleft(reversed(batch))
            return []
        self.num_passes += 1
        choices = self._choose(batch, torch.stack([hidden_W for _, hidden_W in read]))
        for text, (kept, _), choice in zip(batch, read, choices, strict=True):
            text.kept = kept
            if not self._settle(text, text.author.take(choice), length=len(text.ids)):
                continue
            text.kept = kept.first(len(text.ids) - text.num_unread)
            if text.num_unread > 1:
                self._arriving.appendleft(text)
            else:
                self._enter(text)
        return batch

    def _enter(self, text: Text) -> None:
        if self._budget.attempt(lambda: self._slots.enter(text.kept)) is None:
            self._arriving.appendleft(text)
            self._num_slots = max(1, len(self._active))
            return
        text.kept = Kept([])
        self._active.append(text)

    def _settle(self, text: Text, step: Step, length: int) -> bool:
        """Do to the ids what the author wants, of which `length` have been read; whether there is something to read."""
        text.num_unread = 0
        if not isinstance(step, Write):
            text.is_over = not isinstance(step, Wait)
            self._num_waiting += not text.is_over
            return False
        del text.ids[len(text.ids) - step.take_back :]
        # With nothing new to read, the last token is read again: what comes behind it is to be chosen anew.
        length = min(length, len(text.ids) - (not step.ids))
        text.ids.extend(step.ids)
        text.num_unread = len(text.ids) - length
        return True

    def _choose(self, texts: Sequence[Text], hidden_NW: Tensor) -> list[Choice]:
        choices: list[Choice] = []
        for first in range(0, len(texts), HEAD_ROWS):
            some = texts[first : first + HEAD_ROWS]
            rules = [_rule(text) for text in some]
            made, is_close = self._chooser.choose(self._network.logits(hidden_NW[first : first + HEAD_ROWS]), rules)
            for number, text in enumerate(some):
                if is_close[number] and self._settles_ties:
                    [made[number]], _ = self._chooser.choose(self._logits_alone(text), [rules[number]])
            choices += made
        return choices

    def _logits_alone(self, text: Text) -> Tensor:
        """The logits (1, V) behind a text, from all of it: batch of one, nothing kept."""
        [hidden_TW] = self._network.read_whole([text.ids])
        return self._network.logits(hidden_TW[-1:])

    def _retreat(self) -> None:
        """Memory ran out: half of the texts leave, to be read anew, and there are fewer slots from now on."""
        self._num_slots = max(1, len(self._active) // 2)
        for text in reversed(self._active):
            text.kept, text.num_unread = Kept([]), len(text.ids)
            self._arriving.appendleft(text)
        self._active, self._slots = [], self._new_slots()

    def _remove(self, number: int) -> None:
        self._slots.drop(number)
        self._forget_number(number)

    def _forget_number(self, number: int) -> None:
        self._active[number] = self._active[-1]
        del self._active[-1]


def _rule(text: Text) -> Rule:
    author = text.author
    return Rule(
        temperature=text.temperature,
        noise=text.noise.step() if text.noise else None,
        may_open=author.may_open,
        open_within=author.open_within if author.may_open else 0,
    )
