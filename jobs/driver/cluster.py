"""Getting to a Ray cluster that somebody else has started, or finding out in one line why not."""

import logging
import re
import socket
from collections.abc import Mapping

import ray

from toolformer_ray.records.errors import first_line

SECONDS_TO_CONNECT = 10.0
SECONDS_TO_ANSWER = 2.0
NOT_WHERE_ONLY_DRIVERS_ARE = {"toolformer-role": "!driver"}
"""Nodes for workers: all but those with the label `toolformer-role=driver`, as the head that cluster.yaml describes."""

_HOST_AND_PORT = re.compile(r"(ray://)?(?P<host>[^:/]+):(?P<port>\d+)/?")
_WEB = re.compile(r"https?://")


def is_for_workers(labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels takes workers."""
    return not any(labels.get(key) == value.removeprefix("!") for key, value in NOT_WHERE_ONLY_DRIVERS_ARE.items())


def connect(address: str, *, option: str) -> None:
    """Connect to the cluster at an address. Raises ValueError, one line, naming the `option` that gave it."""
    try:
        if _WEB.match(address) or _is_web_server(address):
            raise ValueError("that is a page for browsers, such as the dashboard")
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{option} {address} cannot be reached ({first_line(error)}); give the HOST:6379 of a Ray that is running, "
            "or ray://HOST:10001, set RAY_AUTH_TOKEN if it asks for a token, or leave it out"
        ) from error


def _is_web_server(address: str) -> bool:
    """Whether HTTP/1 is spoken there, as the dashboard does and Ray's own ports do not. Raises OSError if nobody is.

    Ray itself would try for minutes, deaf to Ctrl-C.
    """
    match = _HOST_AND_PORT.fullmatch(address)
    if not match:
        return False
    with socket.create_connection((match["host"], int(match["port"])), timeout=SECONDS_TO_CONNECT) as connection:
        connection.settimeout(SECONDS_TO_ANSWER)
        try:
            connection.sendall(b"GET /api/version HTTP/1.0\r\n\r\n")
            return connection.recv(5) == b"HTTP/"
        except OSError:
            return False  # It does not care for such talk.
