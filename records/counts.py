"""What a stage counts of a shard: by what is counted, a detail of it, and the tool that it is about.

Counts stand in the footer of a shard (`records.shard_header`), so that a run is summed up without a row being read.
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
    """The tool's name as written in calls; empty for what is about no tool."""


ROWS = Count("rows")


def write_counts(counts: Mapping[Count, int]) -> dict[str, int]:
    """Counts as a JSON object, with the parts of each name joined by dots.

    >>> write_counts({ROWS: 3, Count("kept", tool="QA"): 1, Count("dropped", "not_offered", "QA"): 2})
    {'rows': 3, 'kept..QA': 1, 'dropped.not_offered.QA': 2}
    """
    return {".".join(name) if name[1:] != ("", "") else name.what: number for name, number in counts.items()}


def read_counts(written: Mapping[str, int]) -> Counter[Count]:
    """The counts in such an object, also in one of an older run, where an empty part was left out with its dot.

    Raises ValueError for a name that is none.

    >>> read_counts({"kept.QA": 1, "dropped.duplicate": 2})
    Counter({Count(what='dropped', detail='duplicate', tool=''): 2, Count(what='kept', detail='', tool='QA'): 1})
    """
    counts: Counter[Count] = Counter()
    for name, number in written.items():
        counts[_read_name(name)] += number
    return counts


# Of 100,000 shards each name is kept once.
@functools.cache
def _read_name(written: str) -> Count:
    what, *parts = written.split(".")
    # Older runs counted the calls that a tool was asked for by how long it took.
    if what == "latency":
        return Count("asked", tool=parts[1])
    if len(parts) > 2:
        raise ValueError(f"{written} is no name of a count")
    if len(parts) == 1:
        return Count(what, detail=parts[0]) if what == "dropped" else Count(what, tool=parts[0])
    return Count(what, *parts)
