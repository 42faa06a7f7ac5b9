"""Templates of URLs: values stand in their places and change nothing else."""

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.servers.url_template import UrlTemplate
from toolformer_ray.tools.tool import BadInput

WEATHER = UrlTemplate("https://api.example.org/v1/{city}/now?units={units}&lang=en", "f: http.weather.url")


def test_values_stand_in_the_path_and_in_the_query() -> None:
    assert WEATHER.fill({"city": "São Paulo", "units": "°C & more"}) == (
        "https://api.example.org/v1/S%C3%A3o%20Paulo/now?units=%C2%B0C%20%26%20more&lang=en"
    )
    assert WEATHER.fill({"city": "Rome"}) == "https://api.example.org/v1/Rome/now?lang=en"
    assert UrlTemplate("http://h/{a},{b}", "").fill({"a": 1.5, "b": [True, "x"]}) == "http://h/1.5,true%2Cx"


@pytest.mark.parametrize(
    "value", ["..", ".", "", "a/b", "../admin", "..\\x", "/", "%2e%2e/", None, {"a": 1}, "x" * 5_000]
)
def test_a_value_that_would_change_the_path_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(BadInput) as caught:
        WEATHER.fill({"city": value})
    assert caught.value.argument == "city"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_whatever_the_values_host_and_steps_stay_as_they_are(city: str, units: str) -> None:
    try:
        url = WEATHER.fill({"city": city, "units": units})
    except BadInput:
        return
    assert url.isascii()
    assert url.isprintable()
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.org", "")
    steps = parts.path.split("/")
    assert (len(steps), steps[1], steps[3], unquote(steps[2])) == (4, "v1", "now", city)
    assert parse_qsl(parts.query, keep_blank_values=True) == [("units", units), ("lang", "en")]


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("https://{host}/x", "has a parameter in its host"),
        ("{url}", "has to begin with http:// or https:// and a host"),
        ("file:///etc/{name}", "has to begin with http:// or https:// and a host"),
        ("https://me:secret@h/{x}", "holds a user name"),
        ("https://h/{x}#{y}", "has a part behind #"),
        ("https://h/x?{y}=1", "has a parameter in the name of a part of the query"),
        ("https://h/{x!r}", "has braces that hold no name"),
        ("https://h/{x.y}", "has braces that hold no name"),
        ("https://h/{x", "has braces that hold no name"),
        ("https://h/{}", "has braces that hold no name"),
    ],
)
def test_a_template_that_could_lead_elsewhere_is_refused(template: str, said: str) -> None:
    with pytest.raises(UnusableError, match=f"^f: http.x.url {said}"):
        UrlTemplate(template, "f: http.x.url")
