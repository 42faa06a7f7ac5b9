"""Dateset: questions about days before and after today, from templates (paper, section 4.2.5 and appendix D).

The questions are made here, not read. Templates and numbers are those of the paper's table 11: 9,400 questions on 500
random days that stand for today, each with a day before and one after it, up to four years away. Table 11 does not say
which fillings of a template are asked on which day, so they are drawn. Nor does it say from which years the days are,
or what "a month ago" is: whole weeks and months are counted, and what makes no sense then is left out, such as 0 weeks
ago, or a month ago on March 31.
"""

import datetime
import random
from collections.abc import Iterator, Mapping
from typing import Any

from toolformer_ray.evals.holidays import federal_holidays
from toolformer_ray.evals.open_questions import PROMPT
from toolformer_ray.evals.rules import is_among_first_words
from toolformer_ray.evals.task import Question, Task
from toolformer_ray.tools.calendar import MONTHS, WEEKDAYS

NUM_DAYS = 500
MAX_DAYS = 4 * 365 + 1
FIRST_DAY, LAST_DAY = datetime.date(1990, 1, 1), datetime.date(2030, 12, 31)
SIZES = {
    "days to a date": 400,
    "some time ago": 800,
    "in some days": 800,
    "weekday of a date": 400,
    "around today": 4000,
    "a holiday": 1800,
    "time to a holiday": 1200,
}
"""Questions of each template."""
AROUND = {
    "was it the day before yesterday": -2,
    "was it yesterday": -1,
    "is it today": 0,
    "is it tomorrow": 1,
    "is it the day after tomorrow": 2,
}

Asked = Iterator[tuple[str, str, tuple[str, ...]]]
"""Template, question, and answers."""


class Dateset(Task):
    """Read from nothing; the location is the seed."""

    describes = "Dateset: reckoning with today's date; made from templates; the first five words count"
    path = ""
    rule = staticmethod(is_among_first_words(5))

    def default_location(self, folder: str) -> str:  # noqa: ARG002 - it needs no data
        """The seed."""
        return "0"

    def read(self, location: str) -> Iterator[Question]:
        """So many questions of each template, no two alike, as many as the paper has."""
        if not location.isdecimal():
            raise ValueError(f"{location} is no seed; give a whole number, dateset is made from templates")
        draw = random.Random(int(location))  # noqa: S311 - nothing secret
        all_of: dict[str, list[Question]] = {template: [] for template in SIZES}
        for number in draw.sample(range((LAST_DAY - FIRST_DAY).days + 1), NUM_DAYS):
            today = FIRST_DAY + datetime.timedelta(days=number)
            past, future = (datetime.timedelta(days=draw.randint(1, MAX_DAYS)) for _ in range(2))
            for question in self.questions({"today": today, "past": today - past, "future": today + future}):
                all_of[question.about["template"]].append(question)
        for template, size in SIZES.items():
            for number in sorted(draw.sample(range(len(all_of[template])), size)):
                yield all_of[template][number]

    def questions(self, row: Mapping[str, Any]) -> Iterator[Question]:
        """All that can be asked on one day that stands for today, with one before it and one after it."""
        today, past, future = row["today"], row["past"], row["future"]
        for template, question, answers in [
            *_about_dates(today, past, future),
            *_about_days_away(today, past, future),
            *_about_holidays(today),
        ]:
            prompt = PROMPT.format(question)
            yield Question(prompt=prompt, answers=answers, today=today, about={"template": template})


def _about_dates(today: datetime.date, past: datetime.date, future: datetime.date) -> Asked:
    yield "days to a date", f"How many days ago was {_long(past)}?", (f"{(today - past).days}",)
    yield "days to a date", f"How many days are there until {_long(future)}?", (f"{(future - today).days}",)
    yield "weekday of a date", f"What day of the week was it on {_long(past)}?", (WEEKDAYS[past.weekday()],)
    yield "weekday of a date", f"What day of the week is it on {_long(future)}?", (WEEKDAYS[future.weekday()],)


def _about_days_away(today: datetime.date, past: datetime.date, future: datetime.date) -> Asked:
    for unit, number in _counts(past, today).items():
        if number and (day := _before(today, number, unit)):
            for part, answers in _parts(day).items():
                yield "some time ago", f"What {part} was it {_several(number, unit)} ago?", answers
    for part, answers in _parts(future).items():
        yield "in some days", f"What {part} will it be in {_several((future - today).days, 'day')}?", answers
    for when, days in AROUND.items():
        for part, answers in _parts(today + datetime.timedelta(days=days)).items():
            yield "around today", f"What {part} {when}?", answers


def _about_holidays(today: datetime.date) -> Asked:
    for holiday, day in federal_holidays(today.year).items():
        for part, answers in _parts(day).items():
            if part != "year":
                yield "a holiday", f"What {part} {'was' if day < today else 'is'} {holiday} this year?", answers
        if day != today:
            asked = "ago was" if day < today else "are there until"
            for unit, number in _counts(*sorted((day, today))).items():
                yield "time to a holiday", f"How many {unit}s {asked} {holiday} this year?", (f"{number}",)


def _parts(day: datetime.date) -> dict[str, tuple[str, ...]]:
    """What is asked of a day, with the answers."""
    ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    return {
        "day of the week": (WEEKDAYS[day.weekday()],),
        "day of the month": (f"{day.day}", f"{day.day}{ending}"),
        "month": (MONTHS[day.month - 1],),
        "year": (f"{day.year}",),
    }


def _counts(earlier: datetime.date, later: datetime.date) -> dict[str, int]:
    """How many whole ones of each unit lie between two days."""
    days = (later - earlier).days
    months = 12 * (later.year - earlier.year) + later.month - earlier.month - (later.day < earlier.day)
    return {"day": days, "week": days // 7, "month": months, "year": months // 12}


def _before(today: datetime.date, number: int, unit: str) -> datetime.date | None:
    """The day so long ago; None if that month lacks it."""
    if unit in ("day", "week"):
        return today - datetime.timedelta(days=number * (7 if unit == "week" else 1))
    year, month = divmod(12 * today.year + today.month - 1 - number * (12 if unit == "year" else 1), 12)
    try:
        return today.replace(year=year, month=month + 1)
    except ValueError:
        return None


def _several(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _long(day: datetime.date) -> str:
    return f"{MONTHS[day.month - 1]} {day.day}, {day.year}"
