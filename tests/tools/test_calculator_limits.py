"""No expression makes the calculator take long or use much memory."""

import contextlib
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.tool import BadInput, CallContext

calculator = Calculator()
MOST_SECONDS, MOST_BYTES = 0.25, 2**20
"""What a calculation may take: fifty times what the worst expression below takes, and a megabyte."""


PIECES = [*"0123456789+-*/()%.,$x= ", " of ", "999999999999999", "0.00000000000001"]


def cost(expression: str) -> tuple[float, int]:
    """Seconds and bytes that an answer or a refusal takes."""
    started = time.perf_counter()
    with contextlib.suppress(BadInput):
        calculator.run(expression, CallContext())
    seconds = time.perf_counter() - started
    tracemalloc.start()
    with contextlib.suppress(BadInput):
        calculator.run(expression, CallContext())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak


@pytest.mark.parametrize(
    "expression",
    [
        "-" * 199 + "1",
        "(" * 99 + "1" + ")" * 99,
        "(" * 200,
        "-(" * 66 + "1" + ")" * 66,
        "1" + "+1" * 99,
        "1" + "/3" * 99,
        "1" + "*9999999" * 24,
        "1" + "/999999999999989" * 12,
        "0." + "0" * 13 + "1" + "/9.99" * 36,
        "1" + "%+1" * 60,
        "9%of" * 49 + "1%",
        "+".join(f"1/{prime}" for prime in (9973, 9967, 9949, 9941, 9931, 9929, 9923, 9907, 9901, 9887, 9883, 9871)),
        "1,000" * 40,
        "1" + ",000" * 49 + "!",
        " " * 199 + "1",
        "$" * 200,
        "." * 200,
        "9" * 200,
        "9**9**9**9**9",
        "9^9^9",
        "10**1000000000",
        "1e308*10",
        "'a'*1000000000",
        "9999999999!",
        "1<<10000000000",
        "(" * 10**7,
        "1+" * 10**7 + "1",
        "9" * 10**8,
    ],
)
def test_no_expression_takes_more_than_its_time_and_memory(expression: str) -> None:
    seconds, num_bytes = cost(expression)
    assert seconds < MOST_SECONDS
    assert num_bytes < MOST_BYTES


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=200))
def test_no_expression_at_all_takes_more_than_its_time_and_memory(pieces: list[str]) -> None:
    seconds, num_bytes = cost("".join(pieces)[:200])
    assert seconds < MOST_SECONDS
    assert num_bytes < MOST_BYTES
