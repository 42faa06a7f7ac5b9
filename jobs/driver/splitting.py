"""Find the rows that break a stage: try halves, then halves of what failed, until single rows are left.

Pure: a probe tries some rows and says what broke, be it an error or the worker's death. If the first half passes, the
second is known to fail, so one broken row among n costs log2(n) probes, twice that at most.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

MAX_BROKEN = 8
MAX_BROKEN_SHARE = 1 / 8

Probe = Callable[[Sequence[int]], Awaitable[str | None]]
"""Tries the rows of these numbers and writes nothing: what broke in one line, None if nothing did."""


class NotToBlameError(Exception):
    """Leaving out a few rows of a shard that fails would not help; the message says why."""


async def find_broken(rows: Sequence[int], probe: Probe, pauses: Sequence[float]) -> dict[int, str]:
    """Of rows that have failed together, those that fail by themselves each time, with their last error.

    Each is tried alone as often as there are `pauses`, the seconds to wait before each try, and passes if it passes
    once. So rows that fail only now and then, or only together, are not among them. Raises NotToBlameError if more
    than a few rows fail.
    """
    most = max_broken(len(rows))
    broken: dict[int, str] = {}
    # Groups of rows: each has failed as a whole, or is the other half of one that has.
    suspects = [rows] if rows else []
    while suspects:
        halves: list[Sequence[int]] = []
        for suspect in suspects:
            if len(suspect) > 1:
                halves += await _failing_halves(suspect, probe)
            elif error := await _try_alone(suspect, probe, pauses):
                broken[suspect[0]] = error
            if len(halves) + len(broken) > most:
                raise NotToBlameError(f"more than {most} of {len(rows)} rows fail, so it is not only theirs")
        suspects = halves
    return dict(sorted(broken.items()))


def max_broken(num_rows: int) -> int:
    """With more broken rows than this, the fault is not taken to be the rows'. At least one, of a small shard."""
    return min(MAX_BROKEN, max(1, int(num_rows * MAX_BROKEN_SHARE)))


async def _failing_halves(rows: Sequence[int], probe: Probe) -> list[Sequence[int]]:
    first, second = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    if await probe(first) is None:
        return [second]
    return [first] if await probe(second) is None else [first, second]


async def _try_alone(row: Sequence[int], probe: Probe, pauses: Sequence[float]) -> str | None:
    error = None
    for pause in pauses:
        await asyncio.sleep(pause)
        error = await probe(row)
        if error is None:
            return None
    return error
