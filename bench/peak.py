"""Measures the machine's peak by matrix products: floating-point operations per second in the model's dtype."""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

SQUARE_SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192, 16384)}
ROWS = {"cpu": 2048, "cuda": 8192}
"""Tokens in a product at the model's own shapes: what a batch holds."""
SECONDS_EACH = 0.5


def num_cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Operations a second; a multiplication and an addition are two."""

    square: float
    """The fastest of a few square products."""
    own_shapes: float
    """All matrices of the decoder layers in turn, each by a batch of tokens."""

    @property
    def best(self) -> float:
        """The larger of the two; shares of peak refer to it."""
        return max(self.square, self.own_shapes)


def measure_peak(
    device: torch.device, dtype: torch.dtype, shapes: Sequence[tuple[int, int]], *, seconds: float | None = None
) -> Peak:
    """`shapes` is (in, out) of every matrix of the model; each product is repeated for `seconds`."""
    seconds = SECONDS_EACH if seconds is None else seconds
    kind = "cuda" if device.type == "cuda" else "cpu"
    square = max(2 * size**3 / _time_product(size, size, size, device, dtype, seconds) for size in SQUARE_SIZES[kind])
    rows = ROWS[kind]
    operations = spent = 0.0
    for (width, out), count in Counter(shapes).items():
        operations += count * 2 * rows * width * out
        spent += count * _time_product(rows, width, out, device, dtype, seconds)
    return Peak(square=square, own_shapes=operations / spent if spent else 0.0)


def _time_product(rows: int, width: int, out: int, device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    left = torch.randn(rows, width, device=device).to(dtype)
    right = torch.randn(width, out, device=device).to(dtype)
    target = torch.empty(rows, out, device=device, dtype=dtype)
    return _best_time(lambda: torch.mm(left, right, out=target), device, seconds)


def _best_time(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of the fastest of several runs; on CUDA ten are measured at once, so that launches overlap."""
    on_cuda = device.type == "cuda"
    repeats = 10 if on_cuda else 1
    work()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        if on_cuda:
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        if on_cuda:
            torch.cuda.synchronize(device)
        best = min(best, (time.perf_counter() - start) / repeats)
    return best
