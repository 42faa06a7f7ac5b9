"""One Ray of its own for all tests of this folder, stopped at the end; two slots, no dashboard."""

import logging
from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
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
