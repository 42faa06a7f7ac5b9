"""What a tokenizer loses of a text: a probe has to come back from it to the letter, before anything is spent.

A tokenizer that lower-cases, folds characters, drops spaces or knows some words only gives the model other texts than
there are: places, calls and losses would be those of the other texts. The probe is of Latin letters and signs: that a
vocabulary has no entry for a script that its model was not trained on is no fault of it.
"""

from collections.abc import Callable

PROBES = {
    "spaces": "the mill by the river",
    "words": "seventeen candles which leaves her question unanswered tomorrow",
    "capital letters": "The Mill of NEW York",
    "spaces at the beginning or the end": " and then ",
    "spaces that follow one another": "one  two   three",
    "line breaks": "\none\ntwo\n\nthree\n",
    "digits": "in 1850, 0.25 of 1234567890",
    "accents": "café, Zoë, naïve, São, Straße",
    "signs": "(a * b) / c - d + e = f; g: 'h' \"i\"? j! k & l % m # n $ o @ p ^ q ~ r < s > t { u } v | w \\ x _ y ` z",
    "typographic signs": "\N{LEFT DOUBLE QUOTATION MARK}one\N{RIGHT DOUBLE QUOTATION MARK} \N{EN DASH} 5 ½…",
    "compatibility characters": "\N{LATIN SMALL LIGATURE FI}nd, \N{FULLWIDTH LATIN CAPITAL LETTER A}",
    "the syntax of calls": ' [Calculator(400 / 1400) -> 0.29] [QA("Where is it?") -> Rome]',
}
"""What is lost if the text does not come back, and the text."""


def find_loss(encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]) -> str | None:
    """What the tokenizer loses, with an example; None if all probes come back to the letter."""
    for lost, text in PROBES.items():
        if (read := decode(encode(text))) != text:
            return f"{lost}: of {text!r:.60} it makes {read!r:.60}"
    return None
