"""Translation by a glossary, which lists words and phrases of one language with their meanings, without grammar."""

import re
from typing import NamedTuple

from toolformer_ray.tools.backends.data_file import read_columns
from toolformer_ray.tools.backends.translation_texts import ENGLISH, Guess
from toolformer_ray.tools.decoys.pool import Pool

GLOSSARY_LANGUAGE = "glossary"
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


class Entry(NamedTuple):
    """One phrase of the glossary, its words lower case, and its meaning."""

    words: tuple[str, ...]
    meaning: str


class Glossary:
    """A file with the columns `source` and `target`; of two entries for one phrase the first counts.

    Phrases are replaced from left to right, the longest first; everything between words stays. An unknown word with a
    capital (a name) or without a letter (a number) stays too. Any other unknown word means that there is no
    translation, since half a translation would pass for English. Case is ignored; a meaning is capitalized as its
    source is.
    """

    def __init__(self, path: str) -> None:
        # By first word, longest phrase first, so that a look-up tries few entries however large the glossary is.
        self._entries: dict[str, list[Entry]] = {}
        known: set[tuple[str, ...]] = set()
        for source, target in read_columns(path, ("source", "target")):
            words = tuple(_words(source))
            if words and words not in known:
                known.add(words)
                self._entries.setdefault(words[0], []).append(Entry(words, target.strip()))
        if not known:
            raise ValueError(f"{path} holds no words")
        for entries in self._entries.values():
            entries.sort(key=lambda entry: -len(entry.words))
        self.words = frozenset(word for phrase in known for word in phrase)
        """All words of the phrases."""
        meanings = {word for entries in self._entries.values() for entry in entries for word in _words(entry.meaning)}
        self.meanings = Pool(sorted(form for word in meanings for form in (word, word.capitalize(), word.upper())))
        """All words of the meanings, as they may be written."""

    def translate(self, text: str) -> str:
        """The text with phrases replaced by their meanings; empty if a word is unknown."""
        matches = list(_WORD.finditer(text))
        words = [match.group().casefold() for match in matches]
        pieces, done, index = [], 0, 0
        while index < len(words):
            entry = self._entry_at(words, index)
            if entry is None:
                if not _stays(matches[index].group()):
                    return ""
                index += 1
                continue
            first, last = matches[index], matches[index + len(entry.words) - 1]
            pieces += [text[done : first.start()], _with_case_of(first.group(), entry.meaning)]
            done = last.end()
            index += len(entry.words)
        return "".join([*pieces, text[done:]])

    def identify(self, text: str) -> Guess:
        """The glossary's own language if it has at least half of the text's words, else English.

        Used instead of a language identifier, to which an invented or rare language would be unknown.
        """
        words = _words(text)
        share = sum(word in self.words for word in words) / max(1, len(words))
        return Guess(GLOSSARY_LANGUAGE, share) if share >= 0.5 else Guess(ENGLISH, 1 - share)

    def _entry_at(self, words: list[str], index: int) -> Entry | None:
        for entry in self._entries.get(words[index], ()):
            if tuple(words[index : index + len(entry.words)]) == entry.words:
                return entry
        return None


def _stays(word: str) -> bool:
    """Whether a word is the same in every language: a name, which has a capital, or a number."""
    return word[0].isupper() or not any(character.isalpha() for character in word)


def _words(text: str) -> list[str]:
    return [match.group().casefold() for match in _WORD.finditer(text)]


def _with_case_of(source: str, meaning: str) -> str:
    if source[0].isupper():
        return meaning.upper() if len(source) > 1 and source.isupper() else meaning[:1].upper() + meaning[1:]
    return meaning
