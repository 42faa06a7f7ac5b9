"""A wrong address is one line, and at once."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from toolformer_ray.jobs.driver.cluster import connect


@pytest.fixture
def dashboard() -> Iterator[str]:
    """Something that speaks HTTP, as Ray's dashboard; its address."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses to which Ray itself was asked to connect."""
    asked: list[str] = []
    monkeypatch.setattr("ray.init", lambda *, address, **_: asked.append(address))
    return asked


@pytest.mark.parametrize("scheme", ["", "ray://", "http://"])
def test_the_address_of_the_dashboard_is_told_from_that_of_ray(scheme: str, dashboard: str, asked: list[str]) -> None:
    with pytest.raises(ValueError, match=r"cannot be reached \(that is a page for browsers, such as the dashboard\)"):
        connect(f"{scheme}{dashboard}", option="address")
    assert asked == []


def test_where_nobody_listens_ray_is_not_left_to_try_for_minutes(asked: list[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(
            ValueError, match=r"^RAY_ADDRESS is 127.0.0.1:\d+; it cannot be reached \(.*refused\); give"
        ):
            connect(f"127.0.0.1:{unused.getsockname()[1]}", option="RAY_ADDRESS")
    assert asked == []


def test_what_answers_in_another_way_or_not_at_all_is_left_to_ray(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolformer_ray.jobs.driver.cluster.SECONDS_TO_ANSWER", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        connect(address, option="address")
    connect("auto", option="address")
    assert asked == [address, "auto"]
