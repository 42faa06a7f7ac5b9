"""What is printed or written down about a location holds no key."""

import pytest

from toolformer_ray.records.locations import without_keys
from toolformer_ray.records.run_folder import RunFolder


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("s3://KEY:SECRET@bucket/corpus", "s3://bucket/corpus"),
        ("s3://KEY:SEC/RET@bucket/corpus", "s3://bucket/corpus"),
        ("https://host:8000/v1/a@b", "https://host:8000/v1/a@b"),
        ("https://host/v1?api_key=SECRET", "https://host/v1"),
        ("https://host/v1?sas=SECRET&x=1 cannot be read: 's3://K:S@b'", "https://host/v1 cannot be read: 's3://b'"),
        ("what? a plain value", "what? a plain value"),
        ("me@here: no URI", "me@here: no URI"),
    ],
)
def test_keys_and_options_of_locations_are_left_out(given: str, written: str) -> None:
    assert without_keys(given) == written


def test_a_run_folder_is_named_without_its_keys_and_still_opened_with_them() -> None:
    location = "s3://KEY:SECRET@bucket/run?region=here&endpoint_override=127.0.0.1:1&scheme=http"
    run = RunFolder(location)
    assert (run.location, run.shown) == (location, "s3://bucket/run")


def test_a_location_that_cannot_be_opened_is_named_without_its_keys() -> None:
    with pytest.raises(ValueError, match="cannot be opened") as refusal:
        RunFolder("ftp://KEY:SECRET@x/y?sas=SECRET")
    assert "SECRET" not in str(refusal.value)
