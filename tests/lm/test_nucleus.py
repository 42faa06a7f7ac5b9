"""Nucleus sampling: which entries are drawn, how often, and that rounding changes no draw unnoticed."""

import math
from collections import Counter

import pytest
import torch

from toolformer_ray.lm.writing.noise import Noise, draw
from toolformer_ray.lm.writing.nucleus import draw_from_nucleus

# In falling order 0.4, 0.3, 0.2, 0.1.
PROBABILITIES = torch.tensor([0.2, 0.4, 0.1, 0.3])


def noise(number: int, size: int) -> list:
    return [Noise(key, size).step() for key in range(number)]


@pytest.mark.parametrize(
    ("top_p", "drawn"),
    [
        (1e-9, {1}),
        (0.39, {1}),
        (0.41, {1, 3}),
        (0.69, {1, 3}),
        (0.71, {0, 1, 3}),
        (0.95, {0, 1, 2, 3}),
        (1.0, {0, 1, 2, 3}),
    ],
)
def test_the_fewest_that_together_have_p_are_drawn(top_p: float, drawn: set[int]) -> None:
    logits_RV = PROBABILITIES.log().expand(500, -1)
    tokens, _ = draw_from_nucleus(logits_RV, noise(500, 4), [top_p] * 500)
    assert set(tokens) == drawn


def test_inside_of_the_nucleus_the_proportions_stay() -> None:
    number = 20_000
    tokens, _ = draw_from_nucleus(PROBABILITIES.log().expand(number, -1), noise(number, 4), [0.65] * number)
    share = Counter(tokens)[1] / number
    assert share == pytest.approx(4 / 7, abs=4 * math.sqrt(12 / 49 / number))


def test_rows_have_nuclei_of_their_own_and_p_of_1_is_no_nucleus() -> None:
    logits_RV = torch.randn(300, 3000, generator=torch.Generator().manual_seed(1))
    steps, top_p = noise(300, 3000), [(0.3, 0.9, 1.0)[row % 3] for row in range(300)]
    together, _ = draw_from_nucleus(logits_RV, steps, top_p)
    alone = [
        draw_from_nucleus(logits_RV[row : row + 1], steps[row : row + 1], top_p[row : row + 1])[0][0]
        for row in range(300)
    ]
    assert together == alone
    assert together[2::3] == draw(logits_RV[2::3], steps[2::3])[0]


def test_whatever_rounding_changes_was_reported_as_close() -> None:
    # Many entries are equally likely, and p falls on the border between two of them.
    logits_RV = torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0, 0.0]).expand(2000, -1)
    rounded_RV = logits_RV + 1e-6 * torch.randn(2000, 6, generator=torch.Generator().manual_seed(2))
    border = logits_RV[0].softmax(0)[:3].sum().item()
    for top_p in (border, 0.4, 0.6):
        steps = noise(2000, 6)
        tokens, is_close = draw_from_nucleus(logits_RV, steps, [top_p] * 2000)
        others, _ = draw_from_nucleus(rounded_RV, steps, [top_p] * 2000)
        changed = [row for row in range(2000) if tokens[row] != others[row]]
        assert all(is_close[row] for row in changed)
        assert changed or top_p != border
    _, is_close = draw_from_nucleus(PROBABILITIES.log().expand(2000, -1), noise(2000, 4), [0.5] * 2000)
    assert sum(is_close) < 20
