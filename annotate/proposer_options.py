"""Who proposes calls: the model that scores them, or another one whose calls that model judges."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from toolformer_ray.records.errors import OptionError, UnusableError
from toolformer_ray.records.fingerprint import added_later
from toolformer_ray.records.locations import without_keys

_VARIABLE = re.compile(r"[A-Za-z_]\w*")
CHANGES_NO_ROW = (
    *("proposer_key_env", "proposer_concurrency", "proposer_timeout", "proposer_attempts"),
    "proposer_budget",
)
"""Options that decide how an endpoint is asked, and nothing of what is asked."""
_NOT_GIVEN: Mapping[str, Any] = MappingProxyType(added_later(before=None))


@dataclass(frozen=True, kw_only=True)
class ProposerOptions:
    """Who proposes the calls."""

    proposer: str | None = field(default=None, metadata=_NOT_GIVEN)
    """Another model that proposes places and calls, given as `model` is: what it proposes is scored with the losses of
    `model`, which is the one to be trained. By default `model` proposes too."""
    proposer_url: str | None = field(default=None, metadata=_NOT_GIVEN)
    """The same behind an OpenAI-compatible endpoint: its base URL, such as http://localhost:8000/v1."""
    proposer_model: str | None = field(default=None, metadata=_NOT_GIVEN)
    """The name of the model at the endpoint."""
    proposer_places: Literal["endpoint", "model"] | None = field(default=None, metadata=_NOT_GIVEN)
    """With an endpoint, who chooses the places: the endpoint by its log-probabilities, or `model`. By default the
    endpoint if it gives the log-probabilities of a prompt, which is tried before the run begins."""
    proposer_chat: bool = field(default=False, metadata=added_later(before=False))
    """Whether the proposer is asked in the form of a chat, through its template: for models tuned to follow
    instructions. An endpoint then chooses no places."""
    proposer_key_env: str | None = None
    """With an endpoint: the name of the environment variable that holds its key, if it needs one."""
    proposer_budget: int | None = None
    """With an endpoint: how many requests it may answer for this run folder, those of earlier starts included."""
    proposer_concurrency: int = 8
    """With an endpoint: requests in flight at once."""
    proposer_timeout: float = 60.0
    """With an endpoint: seconds that one request may take."""
    proposer_attempts: int = 5
    """With an endpoint: how often a request is sent before the endpoint counts as down."""

    def __post_init__(self) -> None:
        for name in ("proposer", "proposer_url", "proposer_model"):
            if (value := getattr(self, name)) is not None and not value.strip():
                raise OptionError(name, "empty", "give a name, or leave it out")
        for name in ("proposer_budget", "proposer_concurrency", "proposer_timeout", "proposer_attempts"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise OptionError(name, value, "it must be more than 0")
        if self.proposer is not None and self.proposer_url is not None:
            raise UnusableError("`proposer` and `proposer_url` were given; choose one of them")
        if (self.proposer_url is None) != (self.proposer_model is None):
            raise UnusableError("`proposer_url` and `proposer_model` need each other: the endpoint and its model")
        self._check_url()

    def _check_url(self) -> None:
        if self.proposer_key_env is not None and not _VARIABLE.fullmatch(self.proposer_key_env):
            # The message does not repeat the value, which may be the key itself.
            raise UnusableError("`proposer_key_env` takes the name of a variable, such as OPENAI_API_KEY, not the key")
        if self.proposer_url is None:
            return
        if without_keys(self.proposer_url) != self.proposer_url:
            # Libraries log the URLs that they request.
            raise UnusableError(
                "`proposer_url` holds a user name, a key or a query; give the plain URL, and the key in the "
                "environment, by `proposer_key_env`"
            )
        if not self.proposer_url.startswith(("http://", "https://")):
            raise OptionError("proposer_url", self.proposer_url, "it must begin with http:// or https://")
        if self.proposer_chat and self.proposer_places == "endpoint":
            raise OptionError("proposer_places", "endpoint", "in a chat there are no places to choose; leave it out")

    @property
    def is_another(self) -> bool:
        """Whether somebody else proposes than the model that scores."""
        return self.proposer is not None or self.proposer_url is not None


def who_proposes(settings: Mapping[str, Any]) -> str:
    """Who proposed by the settings of a run, as a person is told; empty if the model that scores did."""
    if proposer := settings.get("proposer"):
        return str(proposer)
    at = settings.get("proposer-url")
    return f"{settings.get('proposer-model')} at {at}" if at else ""
