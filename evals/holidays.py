"""The federal holidays of the United States, which questions of Dateset are about (paper, table 11)."""

import datetime

_MONDAY, _THURSDAY = 0, 3


def federal_holidays(year: int) -> dict[str, datetime.date]:
    """The day itself of each, by name, wherever offices close instead if it is a Saturday or Sunday.

    The ten that have been holidays since 1986; Juneteenth is left out, which earlier years than 2021 do not know.
    """
    return {
        "New Year's Day": datetime.date(year, 1, 1),
        "Martin Luther King Jr. Day": _nth(year, 1, _MONDAY, 3),
        "Washington's Birthday": _nth(year, 2, _MONDAY, 3),
        "Memorial Day": _nth(year, 6, _MONDAY, 1) - datetime.timedelta(weeks=1),
        "Independence Day": datetime.date(year, 7, 4),
        "Labor Day": _nth(year, 9, _MONDAY, 1),
        "Columbus Day": _nth(year, 10, _MONDAY, 2),
        "Veterans Day": datetime.date(year, 11, 11),
        "Thanksgiving": _nth(year, 11, _THURSDAY, 4),
        "Christmas": datetime.date(year, 12, 25),
    }


def _nth(year: int, month: int, weekday: int, number: int) -> datetime.date:
    """Such as the fourth Thursday of a month, Monday being 0."""
    first = datetime.date(year, month, 1)
    return first + datetime.timedelta(days=(weekday - first.weekday()) % 7, weeks=number - 1)
