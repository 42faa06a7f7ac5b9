"""Models that several threads of a process load at the same time, as a model and its proposer may be."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import toolformer_ray.miniature
from toolformer_ray.lm.files import fingerprint_weights, load_network

MODEL = str(Path(toolformer_ray.miniature.__file__).parent / "model")


def test_models_that_are_loaded_at_once_have_all_their_weights() -> None:
    num_threads, rounds = 3, 4
    barrier = Barrier(num_threads)

    def load(_: int) -> str:
        barrier.wait(timeout=60)
        return fingerprint_weights(load_network(MODEL, device="cpu", dtype="float32"))

    with ThreadPoolExecutor(num_threads) as threads:
        found = {weights for _ in range(rounds) for weights in threads.map(load, range(num_threads))}
    assert found == {fingerprint_weights(load_network(MODEL, device="cpu", dtype="float32"))}
