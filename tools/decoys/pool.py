"""Answers of which those most like a given one are drawn: of its sort, of about as many words and characters."""

import bisect
from collections.abc import Iterable

from toolformer_ray.tools.decoys.draw import draw

NUM_NEAREST = 24
"""Among so many of the nearest in length one is drawn."""
MOST_WORDS = 4
"""Answers of so many words or more are of one sort."""
_HASHES = 2**32


class Pool:
    """Distinct answers, by their sort."""

    def __init__(self, answers: Iterable[str]) -> None:
        self._of_sort: dict[tuple[str, int], list[tuple[int, int, str]]] = {}
        for answer in dict.fromkeys(answers):
            if answer.strip():
                self._of_sort.setdefault(_sort(answer), []).append(_place(answer))
        for places in self._of_sort.values():
            places.sort()

    def like(self, answer: str, key: str) -> list[str]:
        """The answers of the same sort that are nearest in length, in an order that the key draws."""
        places = self._of_sort.get(_sort(answer), [])
        middle = bisect.bisect_left(places, _place(answer))
        # Twice as many as are wanted, half of them longer: where one side ends the other goes on.
        around = places[max(0, middle - NUM_NEAREST) : middle + NUM_NEAREST]
        nearest = sorted(around, key=lambda place: abs(place[0] - len(answer)))[:NUM_NEAREST]
        return sorted((text for _, _, text in nearest), key=lambda text: draw(_HASHES, key, text))


def _place(answer: str) -> tuple[int, int, str]:
    """By length; of equal length by a hash, since neighbours in the alphabet begin alike."""
    return len(answer), draw(_HASHES, answer), answer


def _sort(answer: str) -> tuple[str, int]:
    """What an answer looks like, and its number of words.

    >>> _sort("Giuseppe Verdi"), _sort("1,250"), _sort("the sea"), _sort("UNESCO")
    (('name', 2), ('number', 1), ('words', 2), ('capitals', 1))
    """
    letters = [character for character in answer if character.isalpha()]
    if not letters:
        looks = "number" if any(character.isdigit() for character in answer) else "signs"
    elif len(letters) > 1 and all(letter.isupper() for letter in letters):
        looks = "capitals"
    else:
        looks = "name" if letters[0].isupper() else "words"
    return looks, min(MOST_WORDS, len(answer.split()))
