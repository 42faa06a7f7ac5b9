"""When an answer counts as right: the paper's lenient rules (section 4.2), as plain functions of what was generated.

A generated text is read without its tool calls. None of these rules asks how the text goes on behind the answer.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\.\d+")
# One line with a number before the sign; `>=`, `==` and the like make no equation.
_EQUATION = re.compile(r"\d[^=\n]*(?<![<>!])=(?!=)(?P<result>[^\n]*)")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!,?\d)")
# In scripts that write no spaces every character is a word of its own.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+(?:[.'\u2019][^\W_]+)*")


class Rule(Protocol):
    """Whether what was generated holds one of the right answers."""

    def __call__(self, generated: str, answers: Sequence[str]) -> bool: ...


def first_number(text: str) -> float | None:
    """The first number in a text, thousands separators understood; None if there is none.

    >>> first_number("about 1,250.5 of 3")
    1250.5
    """
    match = _NUMBER.search(text)
    return float(match[0].replace(",", "")) if match else None


def predicted_number(generated: str) -> float | None:
    """The number that a text gives as its answer; None if there is none (paper, section 4.2.2 and footnote 7).

    It is the first one, but where its line has an equation the first one behind the sign `=`. Later lines do not count:
    a model that was taught to go on explains itself there.

    >>> predicted_number("The correct answer is 5+3=8")
    8.0
    >>> predicted_number("81 pieces.\\nGeorge had 648 - 8 = 640 left.")
    81.0
    """
    first = _NUMBER.search(generated)
    if first is None:
        return None
    line = generated[generated.rfind("\n", 0, first.start()) + 1 :].partition("\n")[0]
    equation = _EQUATION.search(line)
    result = first_number(equation["result"]) if equation else None
    return first_number(line) if result is None else result


def is_first_number(generated: str, answers: Sequence[str]) -> bool:
    """Mathematics: the number that counts is the answer, up to the two decimals that the calculator gives.

    A minus counts only directly before a digit and not behind one, so `10-5` begins with 10.
    """
    found = predicted_number(generated)
    right = [value for value in map(first_number, answers) if value is not None]
    return found is not None and any(abs(found - value) < 0.005 for value in right)


def words(text: str) -> list[str]:
    """The words of a text for comparing: lower case, compatibility characters made plain, punctuation left out.

    A number is one word, and written without its thousands separators: `1,095 days` is `1095`, `days`.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.findall(_THOUSANDS.sub(lambda number: number[0].replace(",", ""), plain))


def is_among_first_words(num_words: int) -> Rule:
    """One of the answers stands, word for word, among the first words generated: 5 for LAMA, 20 for questions."""

    def rule(generated: str, answers: Sequence[str]) -> bool:
        first = words(generated)[:num_words]
        return any(_holds(first, wanted) for answer in answers if (wanted := words(answer)))

    return rule


def is_next(generated: str, answers: Sequence[str]) -> bool:
    """The paper's two rules in one: where the answer is a number the first number, else it is among 20 words."""
    in_words = is_among_first_words(20)
    return any((is_first_number if _NUMBER.fullmatch(a.strip()) else in_words)(generated, [a]) for a in answers)


def _holds(first: Sequence[str], wanted: Sequence[str]) -> bool:
    return any(first[start : start + len(wanted)] == list(wanted) for start in range(len(first) - len(wanted) + 1))
