"""How long tools take, as counts that add up: of one shard, of a run, of any number of runs.

A call that took s seconds is counted in bucket floor(4 log2 s): four buckets to a doubling, so a bucket's middle is
within 9.1 % of every time in it, and percentiles are known to that without a row being read. Calls that no tool was
asked for (known answers, a tool that is down) are in none.
"""

import math
from collections import Counter
from collections.abc import Mapping

from toolformer_ray.records.stages import Executed

PREFIX = "latency."
BUCKETS_PER_DOUBLING = 4
SHORTEST = 1e-6
"""Seconds; what is shorter is counted as this."""
NOT_ASKED = ("not_asked", "not_recorded")
"""Notes of calls for which no tool was asked."""


def was_asked(row: Executed) -> bool:
    """Whether the tool was asked for this row, rather than an answer known or the call given up beforehand."""
    return not row.from_cache and row.note not in NOT_ASKED


def bucket_of(seconds: float) -> int:
    """The bucket that a time is counted in: bucket 0 begins at 1 s, -4 at 0.5 s."""
    return math.floor(BUCKETS_PER_DOUBLING * math.log2(max(seconds, SHORTEST)))


def middle(bucket: int) -> float:
    """The seconds that stand for a bucket: as far from its beginning as from its end, as a ratio."""
    return float(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING))


def latency_count(row: Executed) -> str:
    """The name under which an asked call is counted, `latency.<bucket>.<tool>`."""
    return f"{PREFIX}{bucket_of(row.seconds)}.{row.tool}"


def latencies(counts: Mapping[str, int], tool: str) -> Counter[int]:
    """Calls of one tool by bucket, from the counts of the execute stage."""
    found: Counter[int] = Counter()
    for name, number in counts.items():
        if name.startswith(PREFIX) and name.endswith(f".{tool}"):
            found[int(name.split(".")[1])] += number
    return found


def percentile(by_bucket: Mapping[int, int], share: float) -> float | None:
    """The seconds that `share` of the calls did not exceed (nearest rank), to 9.1 %; None if there are no calls."""
    rank = math.ceil(share * sum(by_bucket.values()))
    passed = 0
    for bucket in sorted(by_bucket):
        passed += by_bucket[bucket]
        if passed >= rank:
            return middle(bucket)
    return None


def total_seconds(by_bucket: Mapping[int, int]) -> float:
    """What all calls together took, to 9.1 %."""
    return sum(number * middle(bucket) for bucket, number in by_bucket.items())
