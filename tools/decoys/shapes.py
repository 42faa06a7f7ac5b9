"""Decoys of any answer: its numbers with other digits, its words with others as long.

    432                      765          as many digits; closing zeros stay
    -0.29                    -0.83        sign, point and leading zeros stay
    May 3, 1998              August 7, 2814
    Giuseppe Verdi           Margaret Owens

Short words in small letters, which are seldom what an answer says, stay unless there are no others. What is no Latin
word is replaced by one all the same, so decoys in other scripts are easily told from the result: a tool that answers in
one should make its own.
"""

import re

from toolformer_ray.tools.decoys.draw import distinct as distinct_decoys
from toolformer_ray.tools.decoys.draw import draw, numbered
from toolformer_ray.tools.decoys.pool import Pool
from toolformer_ray.tools.decoys.words import COMMON, MONTHS, NAMES, WEEKDAYS

ENGLISH = Pool((*COMMON, *NAMES, *(word.capitalize() for word in COMMON), *(name.upper() for name in NAMES)))
SHORT = 3
"""Words of so many letters are short."""
# How likely each digit is the first of a number (Benford): small ones come first in real numbers too.
_FIRST_DIGITS = "1" * 30 + "2" * 18 + "3" * 12 + "4" * 10 + "5" * 8 + "6" * 7 + "7" * 6 + "8" * 5 + "9" * 4
_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+")
_DIGITS = re.compile(r"\d")


def shaped_decoys(result: str, key: str, num_decoys: int, words: Pool = ENGLISH) -> list[str]:
    """Up to so many distinct decoys of an answer. `words` are what its words are replaced by."""
    pieces = [match.group() for match in _PIECE.finditer(result)]
    short = {piece for piece in pieces if piece.islower() and len(piece) <= SHORT}
    kept = short if len(short) < len(set(pieces)) else frozenset()

    def made(its_key: str) -> str:
        def other(match: re.Match[str]) -> str:
            piece = match.group()
            return piece if piece in kept else _other(piece, f"{its_key}\0{match.start()}", words)

        return _PIECE.sub(other, result)

    return distinct_decoys(result, map(made, numbered(key)), num_decoys)


def _other(piece: str, key: str, words: Pool) -> str:
    if piece[0].isdecimal():
        return _other_number(piece, key)
    for names in (MONTHS, WEEKDAYS):
        if piece in names:
            others = [name for name in names if name != piece]
            return others[draw(len(others), key)]
    return next((word for word in words.like(piece, key) if word.casefold() != piece.casefold()), piece)


def _other_number(number: str, key: str) -> str:
    """Another number of the same shape, which has another value unless it is the number itself."""
    digits = _DIGITS.findall(number)
    settled = {index for index, digit in enumerate(digits) if digit == "0"}
    first = next((index for index in range(len(digits)) if index not in settled), 0)
    last = next((index for index in reversed(range(len(digits))) if index not in settled), 0)
    for index in range(first, last + 1):
        choice = _FIRST_DIGITS if index == first else "123456789" if index == last else "0123456789"
        digits[index] = choice[draw(len(choice), key, index)]
    drawn = iter(digits)
    return _DIGITS.sub(lambda _: next(drawn), number)
