"""A stratified sample of the texts of a corpus, drawn while it is read once.

Texts are sorted by source and length and cut into strata of equal size. From each stratum the texts with the smallest
keys are drawn, where a key is a hash of the seed and the text. So the sample depends on nothing but the texts and the
seed, all texts have the same chance, and sources and lengths are represented as in the corpus.

Of a corpus that is too large to be read for this, whole files are chosen at random, and the number of texts is
extrapolated by bytes. Differences between files then add an error that no interval includes.
"""

import hashlib
import heapq
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.stages import Document, Dropped

TEXTS_PER_STRATUM = 4
SPARE = 20
"""While reading, this many times the sample's size of texts are kept in memory, those with the smallest keys. Strata
are only known when all texts have been seen, and each will have enough of its own among those."""


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Texts of similar source and length."""

    num_texts: int
    """In the part of the corpus that was read."""
    texts: Sequence[Document]
    """Those that were drawn."""


@dataclass(frozen=True, kw_only=True)
class TextSample:
    """The sample, and what was not usable of the corpus."""

    strata: Sequence[Stratum]
    dropped: Counter[str]
    """Rows of the corpus that gave no text, by reason."""

    @property
    def num_texts(self) -> int:
        """Texts that were read."""
        return sum(stratum.num_texts for stratum in self.strata)

    @property
    def texts(self) -> list[Document]:
        """All texts that were drawn."""
        return [text for stratum in self.strata for text in stratum.texts]

    @property
    def weights(self) -> dict[str, float]:
        """By `text_id` of each text that was drawn, how many of those that were read it stands for."""
        return {
            text.text_id: stratum.num_texts / len(stratum.texts) for stratum in self.strata for text in stratum.texts
        }


def draw_sample(shards: Iterator[tuple[Sequence[Document], Sequence[Dropped]]], size: int, seed: int) -> TextSample:
    """Draw `size` texts, or all if there are fewer, from the shards that ingest gives."""
    reading = _Reading(size, seed)
    dropped: Counter[str] = Counter()
    for documents, drops in shards:
        for document in documents:
            reading.add(document)
        for drop in drops:
            dropped[drop.reason] += drop.count
    return TextSample(strata=reading.cut(), dropped=dropped)


class _Reading:
    """The source, length and key of each text, and the texts with the smallest keys."""

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
    """Which files of a corpus are read, and how many texts each text that was read stands for."""

    only: Sequence[str] | None
    """Their names; None for the whole corpus."""
    factor: float
    """Bytes of the corpus over bytes read; 1 where all is read."""
    description: str
    """In words, for the user."""


def choose_files(files: Sequence[Sequence[Any]], max_bytes: int, seed: int) -> Reading:
    """Choose whole files at random, `max_bytes` at most but at least one file; all files if sizes are not known.

    `files` are [name, bytes, time] of each (`workflow.corpus.CorpusState.files`).
    """
    sizes = {name: size for name, size, *_ in files}
    total = sum(size or 0 for size in sizes.values())
    if total <= max_bytes or None in sizes.values() or len(sizes) == 1:
        return Reading(only=None, factor=1.0, description="counted: all of the corpus was read")
    chosen: list[str] = []
    num_read = 0
    for name in sorted(sizes, key=lambda name: _key(seed, name)):
        if chosen and num_read + sizes[name] > max_bytes:
            break
        chosen.append(name)
        num_read += sizes[name]
    description = (
        f"extrapolated by bytes: {len(chosen):,} of {len(sizes):,} files, {num_read:,} of {total:,} bytes were read"
    )
    return Reading(only=chosen, factor=total / max(1, num_read), description=description)
