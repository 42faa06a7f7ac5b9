"""`toolformer review RUN --page`: the same calls and keys as in the terminal, in a page that a browser shows.

A server of the standard library answers on the loopback alone, until all is judged, somebody stops, or Ctrl-C. Whoever
has not the address that was printed, with its token, gets nothing; nor does a page of another host whose name was made
to point here, since such a request names that host.
"""

import contextlib
import importlib.resources
import json
import secrets
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from toolformer_ray.records.errors import one_line
from toolformer_ray.workflow.calls.choose import ChosenCall
from toolformer_ray.workflow.calls.opened import open_for_looking
from toolformer_ray.workflow.calls.review import (
    BACK,
    KEYS,
    NOTHING_KEPT,
    STOP,
    Review,
    ReviewOptions,
    what_is_judged,
)
from toolformer_ray.workflow.calls.terminal import LEAST_NATS, harmless, verdict_line
from toolformer_ray.workflow.calls.token_gains import token_gains
from toolformer_ray.workflow.report.judgements import describe_precision

LOOPBACK = "127.0.0.1"
MAX_BODY = 1_000
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"


class ReviewServer(ThreadingHTTPServer):
    """Serves one review on a free port of the loopback."""

    daemon_threads = True

    def __init__(self, review: Review) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.review = review
        self.token = secrets.token_urlsafe(16)
        self.pressing = threading.Lock()
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://{LOOPBACK}:{self.server_port}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    # A browser opens connections ahead and says nothing on them.
    timeout = 60

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if not self._may_ask(parse_qs(asked.query).get("token", [""])[0]):
            return
        if asked.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        page = importlib.resources.files(__package__).joinpath("review_page.html").read_bytes()
        self._answer(page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """Press a key at a call; the answer is what to show next. A key for another call than the one at hand is void,
        so that a key pressed twice judges once."""
        if not self._may_ask(self.headers.get("X-Token", "")):
            return
        try:
            asked = json.loads(self.rfile.read(min(MAX_BODY, max(0, int(self.headers.get("Content-Length", 0))))))
            key, at = str(asked["key"]), int(asked["at"])
        except (ValueError, TypeError, KeyError):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        with self.server.pressing, self._telling_the_page():
            if at == self.server.review.at:
                self.server.review.press(key)
            shown = what_to_show(self.server.review) | {"is_stopped": key == STOP}
            self._answer(json.dumps(shown).encode(), "application/json")
            if shown["is_stopped"] or self.server.review.is_over:
                self.server.shutdown()

    @contextlib.contextmanager
    def _telling_the_page(self) -> Iterator[None]:
        """What the disk refuses is said where somebody looks."""
        try:
            yield
        except OSError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, one_line(error))

    def _may_ask(self, token: str) -> bool:
        is_known = secrets.compare_digest(token.encode(), self.server.token.encode())
        if self.headers.get("Host") in self.server.hosts and is_known:
            return True
        self.send_error(HTTPStatus.FORBIDDEN)
        return False

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        told = {"Content-Type": kind, "Content-Length": len(body), "Cache-Control": "no-store"}
        for name, value in (told | {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def review_in_page(location: str, options: ReviewOptions) -> int:
    """Serve the page and say where. Raises UnusableError if there is no run, or no such tool in it."""
    review = Review(open_for_looking(location), options)
    if not review.sample or review.is_over:
        print(what_is_judged(review) if review.sample else NOTHING_KEPT)
        return 0
    with ReviewServer(review) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"open {server.address} in a browser of this machine; Ctrl-C ends it, and the same command goes on later")
        server.serve_forever()
    print(f"\n{what_is_judged(review)}")
    return 0


def what_to_show(review: Review) -> dict[str, Any]:
    """What the page shows: the call in its text, its losses, and what is judged so far."""
    told: dict[str, Any] = {
        "at": review.at,
        "of": len(review.sample),
        "judged": review.num_judged,
        "is_over": review.is_over,
        "precisions": [[row.tool, row.judged, *describe_precision(row)] for row in review.precisions],
        "keys": KEYS | {BACK: "back", STOP: "stop"},
    }
    if not review.is_over:
        told |= {"text": list(_pieces(review.call)), "losses": verdict_line(review.call).plain.strip()}
        told["verdict"] = review.verdict(review.call)
    return told


def _pieces(call: ChosenCall) -> Iterator[tuple[str, str]]:
    """The text around a call as pieces with what they are: the call, or a token that it makes likelier or less so."""
    yield harmless(call.before), ""
    yield f" {harmless(call.written)}", "call"
    done = 0
    for token, gain in token_gains(call.after, call.gain or 0.0, call.token_ends, call.token_contrasts):
        yield harmless(token), "counted" if abs(gain) < LEAST_NATS else "better" if gain > 0 else "worse"
        done += len(token)
    yield harmless(call.after[done:]), ""
