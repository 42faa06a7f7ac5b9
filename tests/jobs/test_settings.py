"""What is written down about a run holds no key."""

import pytest

from jobs.settings import without_secrets


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("s3://KEY:SECRET@bucket/corpus", "s3://bucket/corpus"),
        ("https://host/v1?api_key=SECRET", "https://host/v1"),
        (("s3://KEY:SECRET@a?client_secret=SECRET", "b"), ["s3://a", "b"]),
        ("what? a plain value", "what? a plain value"),
        (5, 5),
    ],
)
def test_keys_in_locations_are_left_out(given: object, written: object) -> None:
    assert without_secrets(given) == written
