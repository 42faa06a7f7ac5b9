"""Before which words and numbers of a text a call could help: the char offsets where they begin, in rising order.

A number is new if the text before it has no number of the same value (`1,240` is `1240`), a name or a word if the text
before it does not have it in any case. What opens it belongs to it: the place for `$5`, `(5` or `"Aida"` is before the
sign. Nothing begins inside a number or a word. Linear in the text.

Known limits: names are told by their capitals, so in a script without capitals only numbers count, and all that is
between two spaces or signs is one word. A name of one word that begins a sentence is taken for an ordinary word.
"""

import re
from collections.abc import Iterator

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?|(?<![0-9])\.[0-9]++"
# No part of a word, a version or an address; a unit may follow at once, as in `5kg`.
_NEW_NUMBER = re.compile(rf"(?<![\w,.])(?:{_NUMBER})(?!\.?[0-9])")
_OPENERS = "\"'“‘«(-−$€£¥"
_OPERATOR = re.compile(r"(?:[+*/×÷·^]|(?<=[\d\s)])[-−–xX])\s*$")
_ANNOUNCED = re.compile(r"(?:=|\b(?:equals|equal\s+to|total\s+of|average\s+of))\s*$", re.IGNORECASE)
_LOOK_BACK = 16

_WORD = re.compile(r"[^\W\d_](?:\w|['’\-](?=\w))*+")
# Words that say little by themselves; a call helps with none of them.
_STOP_WORDS = frozenset(
    """
    about above after again against also although among another around away back because been before being below
    between both cannot could does doing done down during each either else even ever every from further going gone
    half have having here hers herself himself however into itself just less like many might mine more most much must
    myself near neither never next none once only onto other ought ours over same several shall should since some soon
    still such than that their theirs them then there these they this those though through thus together toward under
    unless until upon very want were what when where whether which while whom whose will with within without would
    your yours yourself
    """.split()  # noqa: SIM905  a list of a hundred lines would hide the rules
)
_NAME_JOINER = r"(?:\s(?:of|the|de|du|des|da|di|del|la|le|van|von|der|den|and|&)){0,2}"
_NAME = re.compile(rf"[^\W\d_a-z][\w'’\-]*+(?:{_NAME_JOINER}\s[^\W\d_a-z][\w'’\-]*+)*+")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;…\n][\"'”’»)\]]*\s*|[\"“«]\s*)$")

_DAYS = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTHS = (
    r"(?:January|February|March|April|June|July|August|September|October|November|December|May(?=\s\d|,)"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?(?=\s\d))"
)
_UNITS = r"(?:second|minute|hour|day|week|month|year|decade)s?"
_DATE = re.compile(
    rf"\b(?:{_DAYS}|{_MONTHS}|[0-9]{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTHS}"
    r"|(?:1[0-9]|20|21)[0-9]{2}(?:s\b|\b)|[0-9]{1,4}[-/][0-9]{1,2}[-/][0-9]{1,4}"
    r"|[0-9]{1,2}(?::[0-9]{2})?\s?[ap]\.?m\b|[0-9]{1,2}:[0-9]{2}"
    r"|(?P<relative>[Tt]oday|[Tt]onight|[Tt]omorrow|[Yy]esterday"
    rf"|(?:[Ll]ast|[Nn]ext|[Tt]his)\s(?:{_UNITS}|{_DAYS}|{_MONTHS}|morning|evening|spring|summer|autumn|fall|winter)"
    rf"|\w+\s{_UNITS}\s(?:ago|later|from\snow)))"
)
# What goes on with the same date: `Monday, June 5, 2017` is one place.
_SAME_DATE = re.compile(r"[\s,]*(?:the\s|of\s)?[0-9]{0,2}(?:st|nd|rd|th)?[\s,]*$")


def new_numbers(text: str) -> Iterator[tuple[int, bool]]:
    """Where each number begins, operands left out, and whether its value is new or announced (`= 5`, `a total of 5`).

    >>> list(new_numbers("She has 4 + 2 = 6 of 4"))
    [(8, True), (16, True), (21, False)]
    """
    seen: set[float] = set()
    for match in _NEW_NUMBER.finditer(text):
        start, value = match.start(), float(match[0].replace(",", ""))
        is_new = value not in seen
        seen.add(value)
        opened = before_openers(text, start)
        before = text[max(0, opened - _LOOK_BACK) : opened]
        if not _OPERATOR.search(before):
            yield start, is_new or bool(_ANNOUNCED.search(before))


def before_numbers(text: str) -> Iterator[int]:
    """Before numbers that a calculation could give."""
    return (start for start, is_wanted in new_numbers(text) if is_wanted)


def before_names_and_numbers(text: str) -> Iterator[int]:
    """Before names and numbers that are new, for tools that know facts."""
    numbers = {start for start, is_wanted in new_numbers(text) if is_wanted}
    return iter(sorted(numbers | set(_new_names(text))))


def before_new_words_and_numbers(text: str) -> Iterator[int]:
    """Before new words and new numbers, for tools of which nobody knows what they answer."""
    numbers = {start for start, is_wanted in new_numbers(text) if is_wanted}
    return iter(sorted(numbers | set(before_new_words(text))))


def before_new_words(text: str, first: int = 0, end: int | None = None) -> Iterator[int]:
    """Before words of more than three letters that are new and no stop words, in a part of the text."""
    seen: set[str] = set()
    for match in _WORD.finditer(text, 0, len(text) if end is None else end):
        word = match[0].casefold()
        if match.start() >= first and len(word) > 3 and word not in _STOP_WORDS and word not in seen:
            yield match.start()
        seen.add(word)


def before_dates(text: str) -> Iterator[int]:
    """Before dates, weekdays, months, years, times of day, and words that tell a time from today's."""
    end = None
    for match in _DATE.finditer(text):
        start, is_relative = match.start(), match["relative"] is not None
        goes_on = end is not None and not is_relative and start - end <= _LOOK_BACK
        if not (goes_on and _SAME_DATE.match(text[end:start])):
            yield start
        # `today, June 5`: a word that tells the day goes before a date of its own.
        end = None if is_relative else match.end()


def before_openers(text: str, start: int) -> int:
    """The same place before the signs that open the word or number: of `is ("$5` the place of the bracket."""
    first = start
    while first and text[first - 1] in _OPENERS:
        first -= 1
    # `3-5`, `it's` and `f(x)`: signs between two words open nothing.
    return start if first and text[first - 1].isalnum() else first


def _new_names(text: str) -> Iterator[int]:
    seen: set[str] = set()
    end = 0
    for match in _NAME.finditer(text):
        start = match.start()
        seen.update(word.casefold() for word in _WORD.findall(text[end:start]))
        words = _WORD.findall(match[0])
        end = match.end()
        is_inside_word = start > 0 and (text[start - 1].isalnum() or text[start - 1] == "_")
        begins = _SENTENCE_START.search(text, max(0, start - _LOOK_BACK), start) is not None
        # Of a sentence's first words `The Nile` is a name behind an ordinary word, `Then` is none.
        named = [word for word in words if word.casefold() not in _STOP_WORDS and len(word) > 1]
        is_name = len(named) > (1 if begins else 0)
        is_new = any(word.casefold() not in seen for word in named)
        seen.update(word.casefold() for word in words)
        if is_name and is_new and not is_inside_word:
            yield start
