"""Samples that continue texts from chosen places (paper, section 2): after the start marker, up to the end marker.

Continuous batching: a finished sample's slot is taken at once by the next one waiting, of whatever place, text or
prompt. Prompts are read when slots run empty, so only those being sampled from are in memory. Where memory runs out,
even while prompts are read, all slots are given up: what was being written in them starts again, in fewer.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import HEAD_ROWS, Network
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.scoring.prompt_reading import Branch
from toolformer_ray.lm.tokenizer import END_MARKER, TextTokenizer
from toolformer_ray.lm.writing.noise import Noise, choose
from toolformer_ray.lm.writing.slots import SharedSlots, Slots, WholeSlots

# What a sample takes up while it is written: keys and values of so many tokens, more only for the long ones.
TOKENS_PER_SLOT = 16


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How samples are drawn."""

    max_new_tokens: int
    """A sample with no end marker after this many tokens is unfinished."""
    temperature: float = 1.0
    """What logits are divided by; 1 draws from the model's own distribution."""
    stop: str | None = None
    """What ends a sample besides the end marker, however the vocabulary cuts it into tokens."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1 token")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be more than 0")
        if self.stop == "":
            raise ValueError("stop is ''; it must have at least one character, or be left out")


@dataclass(eq=False)
class Draft:
    """A sample in the making: the branch it goes on from, its randomness, what is drawn so far."""

    branch: Branch | None
    """None once the sample is finished: with its last sample a prompt leaves the memory."""
    key: int
    noise: Noise
    ids: list[int] = field(default_factory=list)

    @property
    def is_done(self) -> bool:
        """Whether it is at its end."""
        return self.branch is None


class Sampler:
    """Draws samples to their ends, as many at a time as the budget allows."""

    def __init__(
        self, network: Network, tokenizer: TextTokenizer, budget: TokenBudget, options: SamplingOptions
    ) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self._budget = budget
        self._options = options
        self._may_complete_stop: dict[int, bool] = {}
        """Of the tokens drawn so far, whether the stop may be complete with them."""
        self._active: list[Draft] = []
        self._again: deque[Draft] = deque()
        """Drafts that lost their slots."""
        self._start_again()

    def begin(self, branches: Sequence[Branch], keys: Sequence[Sequence[int]]) -> list[list[Draft]]:
        """Per branch one draft per key, its first token drawn: from one row of logits for the whole place."""
        size = self._network.vocabulary_size
        drafts = [
            [Draft(branch, key, Noise(key, size)) for key in branch_keys]
            for branch, branch_keys in zip(branches, keys, strict=True)
        ]
        most = max(map(len, drafts), default=0)
        at_once = max(1, HEAD_ROWS // max(1, most))
        for first in range(0, len(branches), at_once):
            places = drafts[first : first + at_once]
            logits_BV = self._network.logits(torch.stack([b.hidden for b in branches[first : first + at_once]]))
            rows = [number for number, place in enumerate(places) for _ in place]
            self._draw([draft for place in places for draft in place], logits_BV[rows])
        return drafts

    def finish(self, drafts: Iterable[Draft]) -> None:
        """Write all drafts to their ends. `drafts` is asked for more only when a slot is free."""
        source = (draft for draft in drafts if not self._retire(draft))
        # Sequences that are read whole hold no memory between two steps: nothing is won by starting them again.
        is_served = self._network.is_served
        with self._budget.relieved_by(self._start_again) if is_served else contextlib.nullcontext():
            while True:
                if is_served and self._is_cramped():
                    self._start_again()
                self._fill(source)
                if self._active:
                    self._step()
                elif not self._again:
                    return

    def sample(self, draft: Draft) -> Sample:
        """A finished draft's sample."""
        text = self._tokenizer.decode(draft.ids)
        if self._options.stop is not None and self._options.stop in text:
            return Sample(ids=tuple(draft.ids), text=text.partition(self._options.stop)[0])
        is_finished = draft.ids[-1] in self._tokenizer.end_marker_ids
        return Sample(ids=tuple(draft.ids), text=text.partition(END_MARKER)[0] if is_finished else None)

    def _start_again(self) -> None:
        """Give up all slots for as many as the budget allows now; what was being written in them starts again."""
        self._again.extendleft(reversed(self._active))
        self._active = []
        self._num_slots = max(1, self._budget.tokens // TOKENS_PER_SLOT)
        self._slots = self._new_slots()

    def _is_cramped(self) -> bool:
        """Whether all slots are taken and the budget, grown again since, allows twice as many."""
        return len(self._active) == self._num_slots and self._budget.tokens >= 2 * self._num_slots * TOKENS_PER_SLOT

    def _new_slots(self) -> Slots:
        if not self._network.is_served:
            return WholeSlots(self._network, self._budget)
        return SharedSlots(self._network, self._num_slots, TOKENS_PER_SLOT)

    def _fill(self, source: Iterator[Draft]) -> None:
        """Take drafts in until the slots are full, none is left, or memory runs out."""
        while len(self._active) < self._num_slots:
            draft = self._restart(self._again.popleft()) if self._again else next(source, None)
            if draft is None:
                return
            self._active.append(draft)
            self._attempt(lambda draft=draft: self._slots.enter(_branch(draft)))  # type: ignore[misc]

    def _attempt(self, compute: Callable[[], int]) -> bool:
        """Whether memory sufficed; if not, all drafts have lost their slots."""
        if self._budget.attempt(compute) is not None:
            return True
        self._start_again()
        return False

    def _restart(self, draft: Draft) -> Draft:
        """Back to the first token, which needs no pass; the same tokens will be drawn again."""
        draft.noise = Noise(draft.key, self._network.vocabulary_size)
        draft.noise.step()
        del draft.ids[1:]
        return draft

    def _step(self) -> None:
        """One token more for every draft; those at their end leave."""
        if not self._attempt(self._write):
            return
        for number in reversed(range(len(self._active))):
            if self._retire(self._active[number]):
                self._slots.leave(number)
                self._active[number] = self._active[-1]
                del self._active[-1]

    def _write(self) -> int:
        """The number of tokens written."""
        hidden_NW = self._slots.write([draft.ids[-1] for draft in self._active])
        for first in range(0, len(self._active), HEAD_ROWS):
            drafts = self._active[first : first + HEAD_ROWS]
            self._draw(drafts, self._network.logits(hidden_NW[first : first + HEAD_ROWS]))
        return len(self._active)

    def _draw(self, drafts: Sequence[Draft], logits_BV: Tensor) -> None:
        """One more token for each draft, from its row. A choice too close to call is made on its sequence alone."""
        if not drafts:
            return
        noise = [draft.noise.step() for draft in drafts]
        tokens, is_close = choose(logits_BV, noise, self._options.temperature)
        for n, draft in enumerate(drafts):
            if is_close[n]:
                [tokens[n]], _ = choose(self._logits_alone(draft), [noise[n]], self._options.temperature)
            draft.ids.append(tokens[n])

    def _logits_alone(self, draft: Draft) -> Tensor:
        """The logits (1, V) after a draft, from its whole sequence: batch of one, nothing shared."""
        [hidden_TW] = self._network.read_whole([[*_branch(draft).ids, *draft.ids]])
        return self._network.logits(hidden_TW[-1:])

    def _retire(self, draft: Draft) -> bool:
        """Whether the draft is at its end; it then lets go of what it went on from."""
        is_end = draft.ids[-1] in self._tokenizer.end_marker_ids or draft.ids[-1] in self._tokenizer.special_ids
        if not is_end and len(draft.ids) < self._options.max_new_tokens and not self._has_stopped(draft):
            return False
        draft.branch = None
        draft.noise.close()
        return True

    def _has_stopped(self, draft: Draft) -> bool:
        """Whether the stop has just been written. Few tokens hold its last character: only behind those it is read."""
        stop, last = self._options.stop, draft.ids[-1]
        if stop is None:
            return False
        if last not in self._may_complete_stop:
            self._may_complete_stop[last] = stop[-1] in self._tokenizer.decode([last])
        return self._may_complete_stop[last] and stop in self._tokenizer.decode(draft.ids)


def _branch(draft: Draft) -> Branch:
    if draft.branch is None:
        raise RuntimeError("a finished sample cannot go on")
    return draft.branch
