"""The day on which a text was written: from a date column, or from its URL as the paper does (appendix A, calendar).

Nothing here depends on the clock: the same corpus has the same dates whenever it is read.
"""

import datetime
import email.utils
import math
import re
from decimal import Decimal
from urllib.parse import urlsplit

EARLIEST_URL_YEAR = 1990
LATEST_URL_YEAR = 2099
_MAX_DIGITS, _MAX_DATE_CHARS = 17, 100

_LEADING_DAY = re.compile(r"\s*(\d{4})([-/.]?)(\d{2})\2(\d{2})(?!\d)")
# A day with a time of day right after it: 201710111230, 20171011123045, 20171011123045678. A count of milliseconds or
# seconds since 1970 looks like it only for years that are none of ours.
_DAY_AND_TIME = re.compile(r"\s*((?:19|20)\d{2})(\d{2})(\d{2})([01]\d|2[0-3])[0-5]\d(?:[0-6]\d(?:\d{3})?)?(?!\d)")
_URL_DAYS = (
    re.compile(r"(?<![0-9A-Za-z])(?P<year>\d{4})(?P<mark>[-/_.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})(?![0-9])"),
    re.compile(r"(?<![0-9A-Za-z])(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})(?![0-9A-Za-z])"),
    re.compile(r"(?<![0-9A-Za-z])(?P<year>\d{4})[-/](?P<month>[A-Za-z]{3,9})[-/](?P<day>\d{1,2})(?![0-9])"),
)
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}


def parse_date(value: object) -> datetime.date | None:
    """The day that a column's value names, as it stands there (no change of time zone); None if it names none.

    Understood: dates, datetimes, strings and numbers that begin with `2017-10-11`, `2017/10/11`, `2017.10.11`,
    `20171011` or `20171011123045`, and mail dates (`Wed, 11 Oct 2017 14:00:00 GMT`). Seconds since 1970 are not: they
    could be anything.
    """
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)  # A column of whole numbers with a gap is one of floats.
    if not isinstance(value, str | int) or isinstance(value, bool):
        return None
    if isinstance(value, int) and abs(value) >= 10**_MAX_DIGITS:
        return None
    if match := _LEADING_DAY.match(str(value)):
        return _day(int(match[1]), int(match[3]), int(match[4]))
    if match := _DAY_AND_TIME.match(str(value)):
        return _day(int(match[1]), int(match[2]), int(match[3]))
    return _mail_day(value) if isinstance(value, str) else None


def date_from_url(url: str) -> datetime.date | None:
    """The first full day in a URL's path, e.g. `/2017/10/11/`, `/2017-10-11-`, `/20171011.html`, `/2017/oct/11/`.

    Only real days of the years 1990 to 2099 count; a month without a day, the host and the query do not.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    for pattern in _URL_DAYS:
        for match in pattern.finditer(path):
            day = _day(int(match["year"]), _month(match["month"]), int(match["day"]))
            if day and EARLIEST_URL_YEAR <= day.year <= LATEST_URL_YEAR:
                return day
    return None


def _mail_day(value: str) -> datetime.date | None:
    try:
        parsed = email.utils.parsedate(value[:_MAX_DATE_CHARS])
    except (ValueError, TypeError, IndexError):  # It raises these for some strings that are no dates.
        return None
    return _day(*parsed[:3]) if parsed else None


def _month(written: str) -> int:
    """The month's number; 0, which is no month, for a word that names none."""
    return int(written) if written.isdigit() else _MONTHS.get(written[:3].lower(), 0)


def _day(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except (ValueError, OverflowError):
        return None
