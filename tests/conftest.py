import os
from collections.abc import Iterator

# The models of the tests are so small that a second thread only waits for the first. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests.support.s3_server import S3Server, serve_s3

# A first call may load a model or a table of Unicode; how long a case takes says nothing about whether it is right.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A bucket store for whoever asks: one for all tests, so each makes a bucket of its own."""
    with serve_s3() as server:
        yield server
