"""Calls sampled from a stream of prompts: some are read whenever slots run empty, and nothing drains before the end.

Prompts come in portions, so that whoever asks holds no more than one portion's worth of whatever it needs to choose
places; of a portion that is read, samples may still be written while the next is being read.
"""

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.requests import Place, Prompt, Sample
from toolformer_ray.lm.scoring.prompt_reading import PromptReader, ReadPrompt
from toolformer_ray.lm.writing.sampling import Draft, Sampler

ChoosePlaces = Callable[[Sequence[int], Sequence[np.ndarray]], Sequence[Sequence[Place]]]
"""From the numbers of some prompts, and log p(start marker) before each token of theirs, to each one's places."""

Portion = tuple[Sequence[Prompt], ChoosePlaces]
"""Prompts that are read together, and who chooses their places."""

Answer = list[list[list[Sample]]]
"""Per prompt, per chosen place, per key one sample."""

_Begun = dict[int, list[list[Draft]]]


class CallStream:
    """Reads prompts, has their places chosen, and feeds the sampler."""

    def __init__(self, reader: PromptReader, sampler: Sampler, budget: TokenBudget) -> None:
        self._reader = reader
        self._sampler = sampler
        self._budget = budget

    def run(self, portions: Iterable[Portion]) -> list[Answer]:
        """The answers, portion by portion. The next is asked for when slots are free and all before it are read."""
        answers: list[Answer] = []
        unfinished: deque[_Begun] = deque()
        self._sampler.finish(self._drafts(portions, unfinished, answers))
        self._settle(unfinished, answers)
        return answers

    def _drafts(self, portions: Iterable[Portion], unfinished: deque[_Begun], answers: list[Answer]) -> Iterator[Draft]:
        for prompts, choose in portions:
            self._settle(unfinished, answers)
            begun: _Begun = {}
            unfinished.append(begun)
            for batch, reads in self._read(prompts):
                places = choose(batch, [read.log_starts.numpy() for read in reads])
                for index, drafts in zip(batch, self._begin(reads, places), strict=True):
                    begun[index] = drafts
                    yield from itertools.chain.from_iterable(drafts)

    def _settle(self, unfinished: deque[_Begun], answers: list[Answer]) -> None:
        """Portions that are written to their ends, first come first, become answers and leave the memory."""
        while unfinished and all(draft.is_done for places in unfinished[0].values() for p in places for draft in p):
            begun = unfinished.popleft()
            answers.append(
                [[[self._sampler.sample(draft) for draft in place] for place in begun[n]] for n in range(len(begun))]
            )

    def _read(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], Sequence[ReadPrompt]]]:
        """Prompts in batches of equal shared ids; one is read when it is asked for."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, prompt in enumerate(prompts):
            groups.setdefault(tuple(prompt.shared_ids), []).append(index)
        for group in groups.values():
            lengths = [len(prompts[index].own_ids) + len(prompts[index].text_ids) for index in group]
            read = functools.partial(self._read_some, [prompts[index] for index in group])
            for batch, reads in self._budget.batches(lengths, read):
                yield [group[n] for n in batch], reads

    def _read_some(self, prompts: Sequence[Prompt], batch: Sequence[int]) -> list[ReadPrompt]:
        return self._reader.read([prompts[index] for index in batch])

    def _begin(self, reads: Sequence[ReadPrompt], chosen: Sequence[Sequence[Place]]) -> list[list[list[Draft]]]:
        """The drafts of a batch of prompts: per prompt, per place."""
        places = [(read, place) for read, its_places in zip(reads, chosen, strict=True) for place in its_places]
        for read, place in places:
            if not 0 <= place.token_index < len(read.prompt.text_ids):
                raise ValueError(
                    f"place {place.token_index} is outside a text of {len(read.prompt.text_ids)} tokens; "
                    "a call goes before one of them"
                )
        sizes = [self._reader.num_tokens_to_open(read) for read, _ in places]

        def answer(batch: list[int]) -> list[list[Draft]]:
            branches = self._reader.open([places[index] for index in batch])
            return self._sampler.begin(branches, [places[index][1].keys for index in batch])

        begun = iter(self._budget.run(sizes, answer))
        return [[next(begun) for _ in its_places] for its_places in chosen]
