"""Counts of a shard. They are kept in its footer, so that a run can be summed up without reading a row.

A count is named by what is counted, a detail of it, and the tool that it is about; the functions that count are in
`workflow.shard.counts`.
"""

import functools
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple


class Count(NamedTuple):
    """The name of a count: `Count("rows")`, `Count("kept", tool="QA")`, `Count("dropped", "not_offered", "QA")`."""

    what: str
    detail: str = ""
    tool: str = ""
    """The tool's name as written in calls; empty for a count that is about no tool."""


ROWS = Count("rows")
TOKENS = Count("tokens")
"""Tokens that went through the model for an output, padding included; what is taken over costs none."""


def write_counts(counts: Mapping[Count, int]) -> dict[str, int]:
    """Counts as a JSON object, in which the parts of a name are joined by dots.

    >>> write_counts({ROWS: 3, Count("kept", tool="QA"): 1, Count("dropped", "not_offered", "QA"): 2})
    {'rows': 3, 'kept..QA': 1, 'dropped.not_offered.QA': 2}
    """
    return {".".join(name) if any(name[1:]) else name.what: number for name, number in counts.items()}


def read_counts(written: Mapping[str, int]) -> Counter[Count]:
    """The counts in such an object, also in one of an older run, where empty parts were left out with their dots.

    Raises ValueError for a name of more than three parts.

    >>> read_counts({"kept.QA": 1, "dropped.duplicate": 2})
    Counter({Count(what='dropped', detail='duplicate', tool=''): 2, Count(what='kept', detail='', tool='QA'): 1})
    """
    counts: Counter[Count] = Counter()
    for name, number in written.items():
        counts[_read_name(name)] += number
    return counts


# Cached, so that 100,000 shards share their names.
@functools.cache
def _read_name(written: str) -> Count:
    what, *parts = written.split(".")
    # Older runs counted the calls that a tool was asked for by how long it took.
    if what == "latency":
        return Count("asked", tool=parts[1])
    if len(parts) > 2:
        raise ValueError(f"{written} is not the name of a count")
    if len(parts) == 1:
        return Count(what, detail=parts[0]) if what == "dropped" else Count(what, tool=parts[0])
    return Count(what, *parts)
