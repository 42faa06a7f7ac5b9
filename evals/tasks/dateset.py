"""Dateset: questions about days before and after today, from templates (paper, section 4.2.5 and appendix D).

Made here, not read: the paper's seven kinds of question on 500 random days that stand for today.
"""

import datetime
import random
from collections.abc import Iterator, Mapping
from typing import Any

from evals.rules import is_among_first_words
from evals.task import Question, Task

NUM_DAYS = 500
MAX_YEARS = 4
FIRST_DAY, LAST_DAY = datetime.date(1990, 1, 1), datetime.date(2030, 12, 31)


class Dateset(Task):
    """Read from nothing; the location is the seed."""

    describes = "Dateset: reckoning with today's date; made from templates"
    path = ""
    rule = staticmethod(is_among_first_words(20))

    def default_location(self, folder: str) -> str:  # noqa: ARG002 - it needs no data
        """The seed."""
        return "0"

    def read(self, location: str) -> Iterator[Question]:
        """Seven questions for each of 500 days."""
        if not location.isdigit():
            raise ValueError(f"{location} is no seed; give a whole number, dateset is made from templates")
        draw = random.Random(int(location))  # noqa: S311 - nothing secret
        span = (LAST_DAY - FIRST_DAY).days
        for _ in range(NUM_DAYS):
            today = FIRST_DAY + datetime.timedelta(days=draw.randrange(span))
            days = draw.randint(1, 365 * MAX_YEARS)
            yield from self.questions({"today": today, "days": days})

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """The templates for one day that stands for today and another that is some days away."""
        today, days = row["today"], row["days"]
        past, future = today - datetime.timedelta(days=days), today + datetime.timedelta(days=days)
        asked = {
            f"How many days ago was {_long(past)}?": str(days),
            f"How many days are there until {_long(future)}?": str(days),
            f"What day of the week was it {days} days ago?": f"{past:%A}",
            f"What day of the week will it be in {days} days?": f"{future:%A}",
            "What day of the week is it today?": f"{today:%A}",
            "What month is it?": f"{today:%B}",
            f"What was the date {days} days ago?": _long(past),
        }
        for question, answer in asked.items():
            yield Question(prompt=f"Question: {question}\nAnswer:", answers=(answer,), today=today)


def _long(day: datetime.date) -> str:
    return f"{day:%B} {day.day}, {day.year}"
