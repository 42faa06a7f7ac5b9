"""The calendar's one sentence."""

import datetime

import pytest

from tests.support.rows import make_row
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.calendar import Calendar
from toolformer_ray.tools.tool import BadInput, CallContext

calendar = Calendar()


@pytest.mark.paper("T5")
@pytest.mark.parametrize(
    ("day", "sentence"),
    [
        (datetime.date(2017, 6, 5), "Today is Monday, June 5, 2017."),
        (datetime.date(2000, 2, 29), "Today is Tuesday, February 29, 2000."),
        (datetime.date(1999, 12, 31), "Today is Friday, December 31, 1999."),
    ],
)
def test_says_the_documents_day(day: datetime.date, sentence: str) -> None:
    assert calendar.run("", CallContext(today=day)) == sentence


def test_says_the_clocks_day_where_no_document_tells_it() -> None:
    before, answer, after = datetime.date.today(), calendar.run("", CallContext()), datetime.date.today()
    assert answer in {calendar.run("", CallContext(today=day)) for day in (before, after)}


def test_refuses_an_input() -> None:
    with pytest.raises(BadInput, match="takes no input"):
        calendar.run("tomorrow", CallContext())


@pytest.mark.paper("H3")
@pytest.mark.parametrize(("date", "is_wanted"), [(datetime.date(2020, 1, 1), True), (None, False)])
def test_wants_documents_with_a_date(date: datetime.date | None, is_wanted: bool) -> None:
    assert calendar.wants(make_row(Document, date=date)) is is_wanted
