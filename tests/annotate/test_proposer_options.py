import pytest

from toolformer_ray.annotate.proposer_options import ProposerOptions

URL = {"proposer_url": "http://localhost:8000/v1", "proposer_model": "m"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"proposer": "m", **URL}, "`proposer` and `proposer_url` were given"),
        ({"proposer_url": "http://localhost/v1"}, "need each other"),
        ({"proposer_model": "m"}, "need each other"),
        ({**URL, "proposer_url": "localhost:8000"}, "proposer_url is localhost:8000; it must begin with http"),
        ({**URL, "proposer_url": "http://me:SECRET@localhost/v1"}, "holds a user name, a key or a query"),
        ({**URL, "proposer_key_env": "sk-SECRET"}, "takes the name of a variable"),
        ({**URL, "proposer_budget": 0}, "proposer_budget is 0; it must be more than 0"),
        ({**URL, "proposer_timeout": -1.0}, "proposer_timeout is -1.0; it must be more than 0"),
        ({**URL, "proposer_chat": True, "proposer_places": "endpoint"}, "in a chat there are no places"),
        ({"proposer": " "}, "proposer is empty"),
    ],
)
def test_options_that_do_not_fit_are_named_without_a_key(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told) as refused:
        ProposerOptions(**given)  # type: ignore[arg-type]
    assert "SECRET" not in str(refused.value)
