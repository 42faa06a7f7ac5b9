"""Invented names and words. There are far more than any model can hold, so a fact about them must be looked up."""

import random

ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "h", "k", "kl", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "", "", "l", "n", "r", "s", "sh", "th")
WORD_CODAS = ("", "", "", "l", "n", "s")


def invent_name(rng: random.Random, num_syllables: int) -> str:
    """A capitalised name: about 6 nats of surprise a syllable."""
    return "".join(_syllable(rng, CODAS) for _ in range(num_syllables)).capitalize()


def invent_word(rng: random.Random) -> str:
    """A word of an invented language, two syllables in small letters."""
    return _syllable(rng, ("",)) + _syllable(rng, WORD_CODAS)


def _syllable(rng: random.Random, codas: tuple[str, ...]) -> str:
    return rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(codas)
