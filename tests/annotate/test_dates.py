import datetime

import pytest

from toolformer_ray.annotate.dates import date_from_url, parse_date

OCTOBER_11 = datetime.date(2017, 10, 11)


@pytest.mark.parametrize(
    "value",
    [
        "2017-10-11",
        "2017-10-11T23:59:59Z",
        "2017-10-11 14:00:00 -0500",
        " 2017/10/11",
        "2017.10.11",
        "20171011",
        20171011,
        "Wed, 11 Oct 2017 14:00:00 GMT",
        datetime.date(2017, 10, 11),
        datetime.datetime(2017, 10, 11, 23, 59, tzinfo=datetime.UTC),
    ],
)
def test_a_column_may_name_the_day_in_many_ways(value: object) -> None:
    assert parse_date(value) == OCTOBER_11


@pytest.mark.parametrize(
    "value", [None, "", "yesterday", "2017", "2017-13-01", "2017-02-30", "2017-10/11", 1507680000, 3.5, True, [2017]]
)
def test_a_value_that_names_no_day_is_none(value: object) -> None:
    assert parse_date(value) is None


@pytest.mark.paper("H3")
@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/2017/10/11/title",
        "https://example.org/2017/10/11",
        "https://example.org/news/2017-10-11-title.html",
        "https://example.org/news/title-2017-10-11.html",
        "https://example.org/20171011/title",
        "https://example.org/a_20171011.html",
        "https://example.org/world/2017/oct/11/title",
        "https://example.org/world/2017/October/11/title",
        "https://example.org/1/2017_10_11/",
        "https://example.org/20179999/2017/10/11/",
        "/2017/10/11/",
    ],
)
def test_the_first_full_day_in_a_path_is_the_date(url: str) -> None:
    assert date_from_url(url) == OCTOBER_11


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/2017/10/title",
        "https://example.org/2017/13/11/",
        "https://example.org/2017/02/30/",
        "https://example.org/1789/04/30/",
        "https://example.org/2100/01/01/",
        "https://example.org/id/120171011",
        "https://example.org/x20171011y",
        "https://example.org/web/20171011093000/",
        "https://2017-10-11.example.org/",
        "https://example.org/title?published=2017-10-11",
        "https://[broken/2017/10/11/",
        "",
    ],
)
def test_a_url_without_a_full_day_in_its_path_has_no_date(url: str) -> None:
    assert date_from_url(url) is None
