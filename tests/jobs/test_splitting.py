"""Splitting a shard that fails: which rows are found, and how many probes it takes."""

import asyncio
from collections.abc import Callable, Sequence
from math import ceil, log2

import pytest

from toolformer_ray.jobs.driver.splitting import NotToBlameError, find_broken

TWICE = (0.0, 0.0)


def split(
    num_rows: int, breaks: Callable[[Sequence[int]], bool], pauses: Sequence[float] = TWICE
) -> tuple[dict[int, str], list[list[int]]]:
    """What is found among rows that together have failed, and what was tried for it."""
    tried: list[list[int]] = []

    async def probe(rows: Sequence[int]) -> str | None:
        tried.append(list(rows))
        return f"{len(rows)} rows broke" if breaks(rows) else None

    return asyncio.run(find_broken(range(num_rows), probe, pauses)), tried


@pytest.mark.parametrize("poison", [0, 1, 99, 255])
def test_one_broken_row_is_found_with_log2_probes_and_its_own_error(poison: int) -> None:
    found, tried = split(256, lambda rows: poison in rows)
    assert found == {poison: "1 rows broke"}
    assert tried[-2:] == [[poison], [poison]]
    # Where the first half fails the second is tried too.
    assert log2(256) <= len(tried) - len(TWICE) <= 2 * log2(256)


def test_five_broken_rows_are_found_wherever_they_are() -> None:
    poison = {0, 3, 64, 65, 99}
    found, tried = split(100, lambda rows: bool(poison & set(rows)))
    assert found.keys() == poison
    assert len(tried) <= 5 * (2 * ceil(log2(100)) + len(TWICE))


def test_a_row_that_passes_alone_once_is_not_broken() -> None:
    alone = iter([True, True, False])
    found, tried = split(4, lambda rows: next(alone) if list(rows) == [1] else 1 in rows, pauses=(0.0, 0.0, 0.0))
    assert found == {}
    assert tried.count([1]) == 3


def test_rows_that_only_fail_together_are_not_broken() -> None:
    assert split(16, lambda rows: {3, 12} <= set(rows))[0] == {}


def test_if_more_than_a_few_rows_fail_they_are_not_to_blame_and_that_is_seen_early() -> None:
    tried = 0

    async def probe(_: Sequence[int]) -> str:
        nonlocal tried
        tried += 1
        return "all is broken"

    with pytest.raises(NotToBlameError, match="more than 8 of 256 rows fail"):
        asyncio.run(find_broken(range(256), probe, TWICE))
    assert tried < 32
    with pytest.raises(NotToBlameError, match="more than 2 of 16 rows fail"):
        split(16, lambda rows: bool({1, 5, 9} & set(rows)))


def test_the_only_row_of_a_shard_may_be_broken() -> None:
    assert split(1, bool)[0] == {0: "1 rows broke"}
    assert split(0, bool) == ({}, [])
