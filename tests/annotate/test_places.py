import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolformer_ray.annotate.places import choose_places, is_close_choice
from toolformer_ray.tools.options import Teaching


def logs(*probabilities: float) -> np.ndarray:
    return np.log(np.array(probabilities, np.float32))


def choose(log_starts: np.ndarray, is_place: list[bool] | None = None, *, tau: float = 0.0, k: int = 5) -> list[int]:
    teaching = Teaching(min_open_probability=tau, max_places=k)
    return choose_places(log_starts, is_place or [True] * len(log_starts), teaching)


@pytest.mark.paper("C6")
def test_the_k_most_probable_places_are_chosen_in_the_order_of_the_text() -> None:
    assert choose(logs(0.1, 0.4, 0.2, 0.3), k=2) == [1, 3]


@pytest.mark.paper("C6")
def test_a_place_at_the_threshold_is_not_above_it() -> None:
    assert choose(logs(0.5, 0.25, 0.125), tau=0.25) == [0]


def test_with_a_threshold_of_zero_any_probability_will_do_however_small() -> None:
    assert choose(np.array([-2_000.0, -1.0], np.float32)) == [0, 1]


def test_what_is_no_place_is_not_chosen_and_takes_no_one_elses_rank() -> None:
    assert choose(logs(0.9, 0.8, 0.7), [False, True, True], k=1) == [1]


def test_of_equally_probable_places_the_earlier_is_chosen() -> None:
    assert choose(logs(0.2, 0.3, 0.3, 0.3), k=2) == [1, 2]


def test_a_text_without_tokens_or_with_no_probable_place_has_none() -> None:
    assert choose(logs()) == []
    assert choose(logs(0.01, 0.02), tau=0.05) == []


@given(
    st.lists(st.floats(-12, 0, width=32), max_size=12),
    st.sampled_from([0.0, 0.01, 0.5]),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_unless_the_choice_is_close_noise_in_the_last_digits_does_not_change_it(
    values: list[float], tau: float, k: int, chance: object
) -> None:
    teaching = Teaching(min_open_probability=tau, max_places=k)
    places = [True] * len(values)
    exact = np.array(values, np.float64)
    noisy = exact + np.array([chance.uniform(-4e-5, 4e-5) for _ in values])  # type: ignore[attr-defined]
    if not is_close_choice(exact, places, teaching):
        assert choose_places(exact, places, teaching) == choose_places(noisy, places, teaching)


def test_a_choice_is_close_at_the_threshold_and_at_rank_k_only() -> None:
    def is_close(*values: float, tau: float, k: int) -> bool:
        teaching = Teaching(min_open_probability=tau, max_places=k)
        return is_close_choice(np.array(values), [True] * len(values), teaching)

    assert is_close(math.log(0.5) + 5e-5, tau=0.5, k=1)
    assert not is_close(math.log(0.5) + 2e-4, tau=0.5, k=1)
    assert is_close(-1.0, -1.00005, -3.0, tau=0.0, k=1)
    assert not is_close(-1.0, -1.00005, -3.0, tau=0.0, k=2)
    assert not is_close(-1.0, -2.0, math.log(0.05), tau=0.05, k=1)
