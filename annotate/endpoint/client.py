"""A client of an OpenAI-compatible endpoint: one request until it is answered, refused or given up.

What the endpoint may do, and what follows: it asks to wait (429, 503 and the like, `Retry-After`), fails, says nothing
or hangs up: the request is sent again, ever later, and everybody waits as long. It refuses one request, or answers with
what is no answer: that costs the request alone (`Fault`). It refuses all, or stays away: `EndpointDownError`, and the
shard is put aside until the command is run again. Answers are read up to a size; the key stands in no message.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from toolformer_ray.annotate.proposer_options import ProposerOptions
from toolformer_ray.records.errors import one_line
from toolformer_ray.tools.backends.bounded_http import open_client

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""The log-probabilities of a prompt of a thousand tokens take about 100 KB."""
MAX_SAID_CHARS = 200
MAX_DELAY = 60.0
MAX_RETRY_AFTER = 600.0
UNREADABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
"""What reading an answer raises that has another form than expected; brackets in brackets in brackets are the last."""
_WAIT = frozenset({408, 409, 425, 429})
_REFUSES_ALL = frozenset({401, 403, 404, 405})


class EndpointDownError(OSError):
    """The endpoint cannot be reached, or answers nobody. An OSError, so that no text is blamed for it."""


@dataclass(frozen=True)
class Fault:
    """What a request got instead of an answer, in a line, and whether it would get the same again."""

    told: str
    is_final: bool = True


class EndpointClient:
    """Sends requests to one endpoint. Safe for threads, which share the times of waiting."""

    def __init__(self, options: ProposerOptions, key: str = "", *, first_delay: float = 1.0) -> None:
        self._url = (options.proposer_url or "").rstrip("/")
        self._key, self._attempts, self._first_delay = key, options.proposer_attempts, first_delay
        self._client = open_client(max_bytes=MAX_ANSWER_BYTES, timeout=options.proposer_timeout)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._lock = threading.Lock()
        self._not_before = 0.0
        self._num_answered = 0

    def ask(self, path: str, body: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
        """What `read` makes of the answer, or a Fault. `read` raises one of UNREADABLE for what is no answer to this
        request.

        Raises EndpointDownError.
        """
        answered_before, told, is_garbage = self._num_answered, "", False
        for attempt in range(self._attempts):
            self._wait()
            response, told = self._send(path, body)
            is_garbage = response is not None and response.status_code == httpx2.codes.OK
            if response is not None and is_garbage:
                try:
                    answer = read(json.loads(response.content))
                except UNREADABLE as error:
                    told = f"no answer to the request ({type(error).__name__}: {self._clean(response.text)})"
                else:
                    with self._lock:
                        self._num_answered += 1
                    return answer
            elif response is not None and not self._is_worth_waiting(response.status_code):
                if response.status_code in _REFUSES_ALL:
                    break
                return Fault(told)
            self._postpone(attempt, response)
        if is_garbage:
            return Fault(told)
        # Others were answered meanwhile, so it is this request that the endpoint cannot bear.
        is_alive = self._num_answered > answered_before and not told.startswith(("HTTP 4",))
        if is_alive:
            return Fault(told, is_final=False)
        raise EndpointDownError(f"the endpoint {self._url} does not answer: {told}; run the same command again later")

    def _send(self, path: str, body: Mapping[str, Any]) -> tuple[httpx2.Response | None, str]:
        try:
            response = self._client.post(f"{self._url}{path}", json=body, headers=self._headers)
        except httpx2.HTTPError as error:
            return None, self._clean(f"{type(error).__name__}: {error}")
        return response, f"HTTP {response.status_code}: {self._clean(response.text)}"

    @staticmethod
    def _is_worth_waiting(status: int) -> bool:
        return status in _WAIT or status >= httpx2.codes.INTERNAL_SERVER_ERROR

    def _wait(self) -> None:
        while (left := self._not_before - time.monotonic()) > 0:
            time.sleep(left)

    def _postpone(self, attempt: int, response: httpx2.Response | None) -> None:
        """Have everybody wait: as long as the endpoint asks, else twice as long after each failure."""
        delay = min(MAX_DELAY, self._first_delay * 2.0**attempt)
        if response is not None:
            delay = max(delay, _retry_after(response))
        with self._lock:
            self._not_before = max(self._not_before, time.monotonic() + delay)

    def _clean(self, said: str) -> str:
        """What the endpoint said, in a short line without the key."""
        line = one_line("".join(character if character.isprintable() else " " for character in said))
        return (line.replace(self._key, "***") if self._key else line)[:MAX_SAID_CHARS]


def _retry_after(response: httpx2.Response) -> float:
    """The seconds that the endpoint asks to wait; 0 if it does not, or gives a date."""
    try:
        seconds = float(response.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
    return min(seconds, MAX_RETRY_AFTER) if seconds > 0 else 0.0
