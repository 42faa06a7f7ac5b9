"""A stratified sample of the texts of a corpus, from one reading of it.

Texts are put in order, by source and in a source by length, and cut into strata of equal size; of each stratum the
texts with the smallest keys are taken, a key being a hash of the seed and the text. So the sample depends on the texts
and the seed alone, every text has the same chance, and sources and lengths are in it as they are in the corpus.

Of a corpus too large to be read for this, a random choice of whole files is read, and its number of texts is
extrapolated by bytes. What differs from file to file then adds to the error, and is in no interval.
"""

import hashlib
import heapq
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.stages import Document, Dropped

TEXTS_PER_STRATUM = 4
SPARE = 20
"""So many times the sample's texts are kept in memory while reading, those with the smallest keys: until all have been
seen nobody knows where strata begin, and each will find enough of its own among them."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Texts of like source and length."""

    num_texts: int
    """In the corpus, as far as it was read."""
    texts: Sequence[Document]
    """Those that were drawn."""


@dataclass(frozen=True, kw_only=True)
class TextSample:
    """What one reading of a corpus has given."""

    strata: Sequence[Stratum]
    dropped: Counter[str]
    """Rows of the corpus that give no text, by reason."""

    @property
    def num_texts(self) -> int:
        """Texts that were read."""
        return sum(stratum.num_texts for stratum in self.strata)

    @property
    def texts(self) -> list[Document]:
        """All texts that were drawn."""
        return [text for stratum in self.strata for text in stratum.texts]


def draw_sample(shards: Iterator[tuple[Sequence[Document], Sequence[Dropped]]], size: int, seed: int) -> TextSample:
    """Draw `size` texts, or all if there are no more, from what ingest gives."""
    reading = _Reading(size, seed)
    dropped: Counter[str] = Counter()
    for documents, drops in shards:
        for document in documents:
            reading.add(document)
        for drop in drops:
            dropped[drop.reason] += drop.count
    return TextSample(strata=reading.cut(), dropped=dropped)


class _Reading:
    """Per text its source, length and key; of the texts with the smallest keys the texts themselves."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._sources: dict[str, int] = {}
        self._source_numbers, self._lengths, self._keys = array("q"), array("q"), array("Q")
        self._kept: list[tuple[int, int, Document]] = []  # a heap: the largest key, negated, comes first

    def add(self, document: Document) -> None:
        key = _key(self._seed, document.text_id)
        number = len(self._keys)
        self._source_numbers.append(self._sources.setdefault(document.source, len(self._sources)))
        self._lengths.append(len(document.text))
        self._keys.append(key)
        entry = (-key, number, document)
        if len(self._kept) < SPARE * self._size:
            heapq.heappush(self._kept, entry)
        elif entry > self._kept[0]:
            heapq.heapreplace(self._kept, entry)

    def cut(self) -> list[Stratum]:
        num_texts = len(self._keys)
        kept = {number: document for _, number, document in self._kept}
        order = sorted(range(num_texts), key=lambda n: (self._source_numbers[n], self._lengths[n], self._keys[n]))
        num_strata = max(1, min(self._size, num_texts) // TEXTS_PER_STRATUM)
        strata = []
        for members, size in zip(_shares(order, num_strata), _sizes(self._size, num_strata), strict=True):
            drawn = sorted((n for n in members if n in kept), key=self._keys.__getitem__)[:size]
            strata.append(Stratum(num_texts=len(members), texts=[kept[n] for n in sorted(drawn)]))
        return strata


def _shares(order: Sequence[int], num_shares: int) -> list[Sequence[int]]:
    borders = [len(order) * share // num_shares for share in range(num_shares + 1)]
    return [order[begin:end] for begin, end in itertools.pairwise(borders)]


def _sizes(total: int, num_shares: int) -> list[int]:
    return [total * (share + 1) // num_shares - total * share // num_shares for share in range(num_shares)]


def _key(seed: int, text_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{text_id}".encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Which files of a corpus are read, and what one text read stands for."""

    only: Sequence[str] | None
    """Their names; None for the whole corpus."""
    factor: float
    """Bytes of the corpus over bytes read; 1 where all is read."""
    told: str
    """In words."""


def choose_files(files: Sequence[Sequence[Any]], max_bytes: int, seed: int) -> Reading:
    """A random choice of whole files, no more than `max_bytes` but at least one; all, if sizes are not known.

    `files` holds [name, bytes, time] of each file, as `workflow.corpus` notes them.
    """
    sizes = {name: size for name, size, *_ in files}
    total = sum(size or 0 for size in sizes.values())
    if total <= max_bytes or None in sizes.values() or len(sizes) == 1:
        return Reading(only=None, factor=1.0, told="counted: all of the corpus was read")
    chosen: list[str] = []
    num_read = 0
    by_luck: Callable[[str], int] = lambda name: _key(seed, name)  # noqa: E731
    for name in sorted(sizes, key=by_luck):
        if chosen and num_read + sizes[name] > max_bytes:
            break
        chosen.append(name)
        num_read += sizes[name]
    told = f"extrapolated by bytes: {len(chosen):,} of {len(sizes):,} files, {num_read:,} of {total:,} bytes were read"
    return Reading(only=chosen, factor=total / max(1, num_read), told=told)
