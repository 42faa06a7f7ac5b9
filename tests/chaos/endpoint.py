"""A chat endpoint on this machine that knows some answers, and has spells of every kind of trouble if it is told to."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CALLS_PER_SPELL = 8
SPELLS = ("well", "error", "well", "garbage", "well", "gone", "well", "hang")
"""In turns: it answers; says 500; sends what is no answer; hangs up; says nothing until the caller is gone."""


class Endpoint(ThreadingHTTPServer):
    """Asked as OpenAI's; `is_flaky` decides whether there are spells."""

    daemon_threads = True

    def __init__(self, answers: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.is_flaky = answers, False
        self.num_failed = 0
        """Requests that met trouble."""
        self._num_asked, self._lock = 0, threading.Lock()
        self.is_ending = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def next_spell(self) -> str:
        """How the next request fares."""
        with self._lock:
            spell = SPELLS[self._num_asked // CALLS_PER_SPELL % len(SPELLS)] if self.is_flaky else "well"
            self._num_asked += self.is_flaky
            self.num_failed += spell != "well"
        return spell


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question, spell = asked["messages"][-1]["content"], self.server.next_spell()
        if spell == "hang":
            self.server.is_ending.wait(30)
        if spell in ("hang", "gone"):
            self.close_connection = True
            return
        answer = self.server.answers.get(question, "unknown")
        completion = json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
        content = b"\x00\xff<html>\x1b[2J" if spell == "garbage" else completion
        self.send_response(500 if spell == "error" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving(answers: Mapping[str, str]) -> Iterator[Endpoint]:
    """The endpoint while the block runs."""
    with Endpoint(answers) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.is_ending.set()
            endpoint.shutdown()
            thread.join()
