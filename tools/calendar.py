"""Calendar: the day on which a text was written; at inference, today (paper, section 3)."""

import datetime
from collections.abc import Iterable

from toolformer_ray.records.stages import Document
from toolformer_ray.tools.decoys.draw import distinct, draw, numbered
from toolformer_ray.tools.decoys.words import MONTHS, WEEKDAYS
from toolformer_ray.tools.tool import BadInput, CallContext, Tool
from toolformer_ray.tools.wanted_places import before_dates

FIRST_DECOY, NUM_DECOY_DAYS = datetime.date(1980, 1, 1), 20_000
"""Other dates are drawn from the 55 years from this day on."""


class Calendar(Tool):
    name = "Calendar"
    description = "Gives today's date."
    parameters = {}
    reads_today = True
    one_at_a_time = True
    answers_at_once = True
    instruction = (
        "Add calls to a calendar to the text. A call gives today's date and helps to write a date or a day that "
        'depends on it. Write a call as "[Calendar()]". Here are some examples:'
    )
    demonstrations = (
        "Today is [Calendar()] Monday, June 5, 2017, and the shop is closed.",
        "The harvest fair opened this morning, [Calendar()] August 21, 2003, with a parade.",
        "It is now [Calendar()] Friday, May 2, 2014, so the week is nearly over.",
        "The lighthouse was lit again today, [Calendar()] Sunday, March 9, 2008, after ten dark years.",
        "We write this on [Calendar()] October 30, 1999, one day before the feast.",
    )

    def wants(self, document: Document) -> bool:
        return document.date is not None

    def wanted_places(self, text: str) -> Iterable[int]:
        return before_dates(text)

    def run(self, call_input: str, context: CallContext) -> str:
        if call_input.strip():
            raise BadInput(f"a calendar takes no input, not {call_input[:40]!r}")
        return _answer(context.today or datetime.date.today())

    def decoys(self, result: str, key: str, num_decoys: int) -> list[str]:
        days = (FIRST_DECOY + datetime.timedelta(days=draw(NUM_DECOY_DAYS, name)) for name in numbered(key))
        parts = {*result.rstrip(".").replace(",", "").split()} - {"Today", "is"}
        return distinct(result, (_answer(day) for day in days if not parts & {*_parts(day)}), num_decoys)


def _answer(day: datetime.date) -> str:
    return f"Today is {write_date(day)}."


def _parts(day: datetime.date) -> list[str]:
    return write_date(day).replace(",", "").split()


def write_date(day: datetime.date) -> str:
    """A day in English, whatever the locale: `Monday, June 5, 2017`."""
    return f"{WEEKDAYS[day.weekday()]}, {MONTHS[day.month - 1]} {day.day}, {day.year}"
