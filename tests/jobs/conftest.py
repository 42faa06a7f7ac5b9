"""One Ray of its own for all tests of this folder, stopped at the end; two slots, no dashboard."""

import logging
import os
from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
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
    yield
    ray.shutdown()
