"""A bucket on this machine that answers the three requests by which files are read: is it there, list, get a range."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


@contextmanager
def serve_bucket(objects: Mapping[str, bytes]) -> Iterator[str]:
    """Serves `bucket/key` -> content; gives the options that a URI needs to reach it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            content = objects.get(self._key())
            self._answer(404 if content is None else 200, b"", len(content or b""))

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if "list-type" in query:
                bucket, prefix = self._key().strip("/"), query.get("prefix", [""])[0]
                keys = [name.partition("/")[2] for name in sorted(objects) if name.startswith(f"{bucket}/{prefix}")]
                self._answer(200, _listing(keys, objects, bucket))
            elif (content := objects.get(self._key())) is None:
                self._answer(404, b"")
            elif asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
                self._answer(206, content[int(asked[1]) : int(asked[2]) + 1])
            else:
                self._answer(200, content)

        def _key(self) -> str:
            return unquote(urlsplit(self.path).path).lstrip("/")

        def _answer(self, status: int, content: bytes, length: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.send_header("Last-Modified", "Wed, 11 Oct 2017 14:00:00 GMT")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"region=here&scheme=http&endpoint_override=127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listing(keys: list[str], objects: Mapping[str, bytes], bucket: str) -> bytes:
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[f'{bucket}/{key}'])}</Size>"
        "<LastModified>2017-10-11T14:00:00.000Z</LastModified></Contents>"
        for key in keys
    )
    return (
        f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
        f"<KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
    ).encode()
