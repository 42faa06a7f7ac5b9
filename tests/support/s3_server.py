"""A real S3 protocol server on this machine, in a process of its own: moto's. Run as a module it is that process."""

import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, ClassVar

import httpx2

REPOSITORY = Path(__file__).parents[2]
FULL_BUCKET = "full"
NUM_OBJECTS = 2100
"""Of the table `documents` of the run `many` in the full bucket: more than two pages of a listing."""


@dataclass
class S3Server:
    """A server that is running."""

    KEYS: ClassVar[str] = "KEY:SECRET"

    endpoint: str
    log: IO[str]

    def uri(self, bucket: str, key: str = "run") -> str:
        """A location with all that is needed to reach it."""
        host = self.endpoint.removeprefix("http://")
        return f"s3://{self.KEYS}@{bucket}/{key}?scheme=http&region=us-east-1&endpoint_override={host}"

    def environment(self) -> dict[str, str]:
        """The same in the variables that all S3 clients know."""
        key, _, secret = self.KEYS.partition(":")
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}

    def make_bucket(self, bucket: str, objects: Mapping[str, bytes] = MappingProxyType({})) -> str:
        """Make a bucket with these objects; gives back its name."""
        self._put(bucket, b"")
        for key, content in objects.items():
            self._put(f"{bucket}/{key}", content)
        return bucket

    def requests(self, bucket: str) -> list[str]:
        """What was asked of a bucket so far, such as `PUT /bucket/key`; the options of a request are left out."""
        self.log.seek(0)  # A request is logged before it is answered.
        asked = re.findall(r'"(\w+ /[^? ]*)', self.log.read())
        return [request for request in asked if re.search(rf" /{bucket}(/|$)", request)]

    def keys(self, bucket: str) -> list[str]:
        """All keys of a bucket (of at most 1,000)."""
        return re.findall("<Key>(.*?)</Key>", httpx2.get(f"{self.endpoint}/{bucket}?list-type=2").text)

    def _put(self, path: str, content: bytes) -> None:
        httpx2.put(f"{self.endpoint}/{path}", content=content).raise_for_status()


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    """Runs the server as long as the block lasts."""
    command = [sys.executable, "-m", "tests.support.s3_server"]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield S3Server(endpoint=process.stdout.readline().strip(), log=log)
        finally:
            process.kill()


def main() -> None:
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    store = s3_backends["123456789012"]["aws"]
    store.create_bucket(FULL_BUCKET, "us-east-1")
    for number in range(NUM_OBJECTS):
        store.put_object(FULL_BUCKET, f"many/documents/part-{number:05d}.parquet", b"")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
