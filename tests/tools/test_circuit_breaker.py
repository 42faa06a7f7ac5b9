"""When a tool is left alone, and how often it is asked; the clock is a number that the test gives."""

import pytest

from toolformer_ray.tools.asking.circuit_breaker import CircuitBreaker
from toolformer_ray.tools.asking.rate_limit import MAX_RETRY_DELAY, RateLimit, retry_delay


def ask(breaker: CircuitBreaker, *, is_answered: bool | None, now: float) -> None:
    breaker.note_asked()
    breaker.note_outcome(is_answered=is_answered, now=now)


def test_so_many_failures_in_a_row_pause_a_tool_for_a_while() -> None:
    breaker = CircuitBreaker(limit=3, pause=30)
    ask(breaker, is_answered=False, now=0)
    ask(breaker, is_answered=False, now=1)
    assert not breaker.is_paused(1)
    ask(breaker, is_answered=False, now=2)
    assert breaker.is_paused(2)
    assert breaker.is_paused(31.9)
    assert not breaker.is_paused(32)


def test_an_answer_in_between_begins_the_count_again_and_a_refused_input_does_not() -> None:
    for between, is_open in ((True, False), (None, True)):
        breaker = CircuitBreaker(limit=2, pause=30)
        ask(breaker, is_answered=False, now=0)
        ask(breaker, is_answered=between, now=0)
        ask(breaker, is_answered=False, now=0)
        assert breaker.is_open == is_open


def test_after_the_pause_one_call_decides_for_all() -> None:
    for is_answered, is_paused in ((True, False), (False, True)):
        breaker = CircuitBreaker(limit=1, pause=30)
        ask(breaker, is_answered=False, now=0)
        assert not breaker.is_probed
        breaker.note_asked()
        assert breaker.is_probed
        breaker.note_outcome(is_answered=is_answered, now=40)
        assert not breaker.is_probed
        assert (breaker.is_open, breaker.is_paused(69)) == (is_paused, is_paused)


def test_a_probe_that_tells_nothing_leaves_the_next_call_to_find_out() -> None:
    breaker = CircuitBreaker(limit=1, pause=30)
    ask(breaker, is_answered=False, now=0)
    ask(breaker, is_answered=None, now=40)
    assert breaker.is_open and not breaker.is_paused(40)


def test_calls_are_spaced_evenly_and_time_that_passed_is_not_made_up_for() -> None:
    limit = RateLimit(4.0)
    assert limit.seconds_to_wait(100.0) == 0
    limit.note_asked(100.0)
    assert limit.seconds_to_wait(100.0) == 0.25
    assert limit.seconds_to_wait(110.0) == 0
    limit.note_asked(110.0)
    assert limit.seconds_to_wait(110.0) == 0.25


def test_without_a_limit_nobody_waits_unless_the_backend_asks_for_it() -> None:
    limit = RateLimit(None)
    limit.note_asked(100.0)
    assert limit.seconds_to_wait(100.0) == 0
    limit.hold(3.0, 100.0)
    assert limit.seconds_to_wait(101.0) == 2.0
    limit.hold(1.0, 101.0)
    assert limit.seconds_to_wait(101.0) == 2.0


@pytest.mark.parametrize(("num_failures", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (20, MAX_RETRY_DELAY)])
def test_the_delays_double_up_to_a_limit_and_are_drawn_from_their_upper_half(num_failures: int, longest: float) -> None:
    drawn = [retry_delay(num_failures, 1.0) for _ in range(200)]
    assert longest / 2 <= min(drawn) < 0.6 * longest
    assert 0.9 * longest < max(drawn) <= longest
