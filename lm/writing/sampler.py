"""Calls sampled at places of many prompts (paper, section 2): from the opening up to the end marker.

A sampled call is a text whose author ends it at the end marker or the stop string. Prompts come in batches and are read
when slots run empty, so only those being sampled from are in memory; samples of one batch are still being written while
the next is read, and nothing drains before the end.
"""

import contextlib
import functools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolformer_ray.lm.batching import TokenBudget
from toolformer_ray.lm.network import Network, ReadSequence
from toolformer_ray.lm.requests import Place, Prompt, PromptBatch, Sample, Samples
from toolformer_ray.lm.tokenizer import END_MARKER, TextTokenizer
from toolformer_ray.lm.writing.author import Choice, End, Write
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.openings import OpenedPrompt, open_best
from toolformer_ray.lm.writing.prompts import PromptReader, ReadPrompt
from toolformer_ray.lm.writing.sequences import TOKENS_PER_SLOT
from toolformer_ray.lm.writing.text import Text
from toolformer_ray.records.errors import OptionError


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
            raise OptionError("max_new_tokens", self.max_new_tokens, "it must be at least 1 token")
        if not self.temperature > 0:
            raise OptionError("temperature", self.temperature, "it must be more than 0")
        if self.stop == "":
            raise OptionError("stop", "''", "it must have at least one character, or be left out")


class SampleEnd:
    """When a sample ends, and what it says then."""

    def __init__(self, tokenizer: TextTokenizer, options: SamplingOptions) -> None:
        self._tokenizer = tokenizer
        self._options = options
        self._may_complete_stop: dict[int, bool] = {}
        """Per token drawn so far, whether it holds the last character of the stop string."""

    def has_come(self, ids: Sequence[int]) -> bool:
        """Whether a sample is at its end with the last of these tokens."""
        last = ids[-1]
        is_marker = last in self._tokenizer.end_marker_ids or last in self._tokenizer.stop_ids
        return is_marker or len(ids) >= self._options.max_new_tokens or self._has_stopped(ids)

    def sample(self, ids: Sequence[int]) -> Sample:
        """A sample that is at its end."""
        text, stop = self._tokenizer.decode(list(ids)), self._options.stop
        if stop is not None and stop in text:
            return Sample(ids=tuple(ids), text=text.partition(stop)[0])
        is_finished = ids[-1] in self._tokenizer.end_marker_ids
        return Sample(ids=tuple(ids), text=text.partition(END_MARKER)[0] if is_finished else None)

    def _has_stopped(self, ids: Sequence[int]) -> bool:
        """Whether the stop string has just been written; all is decoded only behind the few tokens that may end it."""
        stop, last = self._options.stop, ids[-1]
        if stop is None:
            return False
        if last not in self._may_complete_stop:
            self._may_complete_stop[last] = stop[-1] in self._tokenizer.decode([last])
        return self._may_complete_stop[last] and stop in self._tokenizer.decode(list(ids))


class SampleAuthor:
    """Writes whatever the model chooses, up to the sample's end."""

    may_open = True
    open_within = 0

    def __init__(self, end: SampleEnd) -> None:
        self._end = end
        self.ids: list[int] = []
        self.is_done = False

    def take(self, choice: Choice) -> Write | End:
        """The token is written, unless the sample ends with it."""
        self.ids.append(choice.token)
        self.is_done = self._end.has_come(self.ids)
        return End() if self.is_done else Write([choice.token])

    def sample(self) -> Sample:
        """What was written; asked when it is done."""
        return self._end.sample(self.ids)


_Authors = list[list[SampleAuthor]]
"""Per place, per key."""


class CallSampler:
    """Reads prompts, has their places chosen, and keeps the generator's slots full."""

    def __init__(
        self,
        network: Network,
        tokenizer: TextTokenizer,
        budget: TokenBudget,
        reader: PromptReader,
        options: SamplingOptions,
    ) -> None:
        self._reader = reader
        self._done = network.done
        self._budget = budget
        self._options = options
        self._end = SampleEnd(tokenizer, options)
        self._generator = Generator(network, tokenizer, budget, max(1, budget.most // TOKENS_PER_SLOT))
        # Without a KV cache slots hold no memory between two steps that could be given up for a prompt.
        self._is_relieved = network.has_kv_cache

    def run(self, batches: Iterable[PromptBatch]) -> list[Samples]:
        """The samples, batch by batch. The next batch is asked for when slots are free and all before it are read."""
        results: list[Samples] = []
        unfinished: deque[dict[int, _Authors]] = deque()
        texts = self._texts(batches, unfinished, results)
        relief = self._budget.relieved_by(self._generator.give_up_slots)
        with relief if self._is_relieved else contextlib.nullcontext():
            while True:
                while self._generator.num_in_hand < self._generator.num_slots and (text := next(texts, None)):
                    self._generator.enter(text)
                if not self._generator.num_in_hand:
                    break
                self._generator.step()
        self._settle(unfinished, results)
        return results

    def _texts(
        self, batches: Iterable[PromptBatch], unfinished: deque[dict[int, _Authors]], results: list[Samples]
    ) -> Iterator[Text]:
        """The samples that are not over with their first token; prompts are read as these are asked for."""
        for prompts, choose in batches:
            self._settle(unfinished, results)
            begun: dict[int, _Authors] = {}
            unfinished.append(begun)
            for numbers, reads in self._read(prompts):
                opened = open_best(self._reader, self._budget, reads)
                chosen = choose(numbers, [one.log_openings for one in opened])
                self._done["prompts"] += len(numbers)
                for number, places in zip(numbers, self._begin(opened, chosen), strict=True):
                    begun[number] = [authors for authors, _ in places]
                    yield from (text for _, texts in places for text in texts if not text.is_over)

    def _settle(self, unfinished: deque[dict[int, _Authors]], results: list[Samples]) -> None:
        """Batches that are written to their ends, in order, become results and leave the memory."""
        while unfinished and all(a.is_done for places in unfinished[0].values() for authors in places for a in authors):
            begun = unfinished.popleft()
            results.append([[[a.sample() for a in authors] for authors in begun[n]] for n in range(len(begun))])

    def _read(self, prompts: Sequence[Prompt]) -> Iterator[tuple[list[int], Sequence[ReadPrompt]]]:
        """Prompts in groups of equal shared ids, as many at a time as the budget allows; read when asked for."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for number, prompt in enumerate(prompts):
            groups.setdefault(tuple(prompt.shared_ids), []).append(number)
        for group in groups.values():
            lengths = [len(prompts[number].own_ids) + len(prompts[number].text_ids) for number in group]
            read = functools.partial(self._read_some, [prompts[number] for number in group])
            for indices, reads in self._budget.batches(lengths, read):
                yield [group[index] for index in indices], reads

    def _read_some(self, prompts: Sequence[Prompt], indices: Sequence[int]) -> list[ReadPrompt]:
        return self._reader.read([prompts[index] for index in indices])

    def _begin(
        self, opened: Sequence[OpenedPrompt], chosen: Sequence[Sequence[Place]]
    ) -> list[list[tuple[list[SampleAuthor], list[Text]]]]:
        """Per prompt, per place: the samples' authors and texts, their first tokens drawn."""
        places = [(one, place) for one, its_places in zip(opened, chosen, strict=True) for place in its_places]
        for one, place in places:
            if not 0 <= (index := place.token_index) < (num_tokens := len(one.read.prompt.text_ids)):
                raise ValueError(
                    f"place {index} is outside a text of {num_tokens} tokens; a call goes before one of them"
                )
        sampled = [(one, place) for one, place in places if place.keys]
        self._done["samples"] += sum(len(place.keys) for _, place in sampled)

        def answer(indices: list[int]) -> list[tuple[list[SampleAuthor], list[Text]]]:
            keys = [sampled[index][1].keys for index in indices]
            authors = [[SampleAuthor(self._end) for _ in its_keys] for its_keys in keys]
            starts = self._starts([sampled[index] for index in indices])
            branches = [list(zip(*pair, strict=True)) for pair in zip(authors, keys, strict=True)]
            texts = iter(self._generator.fork(starts, branches, temperature=self._options.temperature))
            return [(its_authors, [next(texts) for _ in its_authors]) for its_authors in authors]

        begun = iter(self._budget.run([self._reader.num_tokens_to_open(one.read) for one, _ in sampled], answer))
        return [[next(begun) if place.keys else ([], []) for place in its_places] for its_places in chosen]

    def _starts(self, places: Sequence[tuple[OpenedPrompt, Place]]) -> list[ReadSequence]:
        """What the samples of each place go on from: as it has been read already, or read now."""
        missing = [(one, place.token_index) for one, place in places if place.token_index not in one.starts]
        if missing:
            read = self._reader.open([(one.read, token_index) for one, token_index in missing])
            for (one, token_index), (start, _) in zip(missing, read, strict=True):
                one.starts[token_index] = start
        return [one.starts[place.token_index] for one, place in places]
