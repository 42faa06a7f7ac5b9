"""An HTTP server on the loopback that answers as a test says, for tools that ask an endpoint."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Request(BaseHTTPRequestHandler):
    """A request whose `body` has been read."""

    respond: Callable[["Request"], None]
    body: bytes

    def do_GET(self) -> None:
        """Leave the answer to the test."""
        self.body = b""
        with contextlib.suppress(OSError):
            type(self).respond(self)

    def do_POST(self) -> None:
        """Leave the answer to the test."""
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        with contextlib.suppress(OSError):  # the client hangs up when it has enough
            type(self).respond(self)

    def send(self, content: bytes, status: int = 200, **headers: str) -> None:
        """Answer; names of headers are written with underscores."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        """Say nothing."""


@contextmanager
def serve(respond: Callable[[Request], None]) -> Iterator[int]:
    """A server that leaves each request to the function; gives its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Request,), {"respond": staticmethod(respond)}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def completion(answer: object) -> bytes:
    """The body of a chat completion."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": answer}}]}).encode()
