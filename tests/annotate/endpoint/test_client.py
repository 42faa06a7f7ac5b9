"""What an endpoint may do to a request, and what follows."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.http_endpoint import Request, serve
from toolformer_ray.annotate.endpoint.client import EndpointClient, EndpointDownError, Fault
from toolformer_ray.annotate.proposer_options import ProposerOptions

GOOD = json.dumps({"answer": 5}).encode()


@contextmanager
def client_of(
    respond: Callable[[Request, int], None], *, key: str = "", timeout: float = 10.0, attempts: int = 3
) -> Iterator[tuple[EndpointClient, list[bytes]]]:
    """A client of a server that is told the number of each request; and the bodies that came."""
    bodies: list[bytes] = []

    def numbered(request: Request) -> None:
        bodies.append(request.body)
        respond(request, len(bodies) - 1)

    with serve(numbered) as port:
        options = ProposerOptions(
            proposer_url=f"http://127.0.0.1:{port}/v1/",
            proposer_model="m",
            proposer_timeout=timeout,
            proposer_attempts=attempts,
        )
        yield EndpointClient(options, key, first_delay=0.001), bodies


def ask(client: EndpointClient, number: int = 0) -> Any:
    return client.ask("/completions", {"number": number}, lambda answer: answer["answer"])


def first_then_good(first: Callable[[Request], None], times: int = 1) -> Callable[[Request, int], None]:
    return lambda request, number: first(request) if number < times else request.send(GOOD)


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_a_server_that_is_busy_or_fails_is_asked_again(status: int) -> None:
    with client_of(first_then_good(lambda request: request.send(b"", status), times=2)) as (client, bodies):
        assert ask(client) == 5
    assert len(bodies) == 3 and len(set(bodies)) == 1


def hang_up(request: Request) -> None:
    request.close_connection = True


def send_half(request: Request) -> None:
    request.send(GOOD[:7], Content_Length="400")


@pytest.mark.parametrize("trouble", [hang_up, send_half, lambda request: request.send(b"<html>\x00\xff")])
def test_a_connection_that_breaks_and_an_answer_that_is_none_are_asked_again(
    trouble: Callable[[Request], None],
) -> None:
    with client_of(first_then_good(trouble)) as (client, bodies):
        assert ask(client) == 5
    assert len(bodies) == 2


def test_everybody_waits_as_long_as_the_server_asks() -> None:
    waited = []
    with client_of(first_then_good(lambda request: request.send(b"", 429, Retry_After="7"))) as (client, _):
        client._wait = lambda: waited.append(client._not_before)  # type: ignore[method-assign]
        assert ask(client) == 5
        before, after = waited
        assert before == 0.0 and after > 0.0
        ask(client, 1)
    assert waited[-1] == after, "the next request has to wait for it too"


def test_a_request_that_is_refused_costs_itself_alone_and_is_not_repeated() -> None:
    with client_of(lambda request, _: request.send(b"prompt is too long", 400)) as (client, bodies):
        assert ask(client) == Fault("HTTP 400: prompt is too long")
    assert len(bodies) == 1


def test_answers_that_are_always_garbage_cost_the_request() -> None:
    with client_of(lambda request, _: request.send(b'{"choices": []}')) as (client, bodies):
        fault = ask(client)
    assert fault.told.startswith("no answer to the request (KeyError") and fault.is_final and len(bodies) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_all_is_down_at_once_and_its_message_has_no_key(status: int) -> None:
    with client_of(lambda request, _: request.send(b"wrong key SECRET\n\x1b[2J", status), key="SECRET") as asked:
        client, bodies = asked
        with pytest.raises(EndpointDownError, match=rf"HTTP {status}: wrong key \*\*\*  *\[2J; run the same") as told:
            ask(client)
    assert len(bodies) == 1 and "SECRET" not in str(told.value) and "\n" not in str(told.value)


def test_a_server_that_stays_away_is_down_after_all_attempts() -> None:
    with client_of(lambda request, _: request.send(b"", 503)) as (client, bodies):
        with pytest.raises(EndpointDownError, match="does not answer: HTTP 503"):
            ask(client)
        assert len(bodies) == 3
    with pytest.raises(EndpointDownError, match="ConnectError"):
        ask(client)


def test_a_server_that_says_nothing_is_left_after_the_time_limit() -> None:
    ends = threading.Event()
    with client_of(lambda *_: ends.wait(10) or None, timeout=0.05, attempts=1) as (client, _):
        try:
            with pytest.raises(EndpointDownError, match="ReadTimeout"):
                ask(client)
        finally:
            ends.set()


def test_one_request_that_the_server_cannot_bear_is_a_fault_where_others_are_answered() -> None:
    def respond(request: Request, _: int) -> None:
        is_poison = json.loads(request.body)["number"] == 13
        if is_poison:
            ask(client, 1)  # somebody else is answered meanwhile
        request.send(b"", 500) if is_poison else request.send(GOOD)

    with client_of(respond) as (client, _):
        fault = ask(client, 13)
        assert fault.told.startswith("HTTP 500") and not fault.is_final, "another day it may be answered"


def test_an_endless_answer_is_cut_and_costs_the_request() -> None:
    with client_of(lambda request, _: request.send(b"[" * 5_000_000), attempts=1) as (client, _):
        assert isinstance(ask(client), Fault)
