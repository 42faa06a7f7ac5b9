"""What several folders of tests share: one bucket store and one Ray, each started when the first test asks for it."""

import logging
import os
import signal
from collections.abc import Iterator

# The models of the tests are so small that a second thread only waits for the first. Read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests.support.local_workers import workers_in_process, workers_in_ray  # noqa: F401 - fixtures for all tests
from tests.support.refusals import refuse  # noqa: F401 - a fixture for all tests
from tests.support.s3_server import S3Server, serve_s3

# A shell ignores Ctrl-C for what it starts in the background, and what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A first call may load a model or a table of Unicode; how long a case takes says nothing about whether it is right.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A bucket store; each test makes a bucket of its own."""
    with serve_s3() as server:
        yield server


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[str]:
    """The address of a Ray with three slots and no dashboard, which is stopped when the last test has ended."""
    import ray

    # Ray's workers yield to everything else on the machine unless told otherwise.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - so it is spelled
    os.environ["RAY_metrics_report_interval_ms"] = "500"  # noqa: SIM112 - ten seconds otherwise
    ray.init(
        address="local",
        num_cpus=3,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100 * 2**20,
    )
    yield ray.get_runtime_context().gcs_address
    # Else each run since then has started a Ray of its own, which takes ten times as long.
    assert ray.is_initialized(), "a test has ended the Ray that all of them share"
    ray.shutdown()
