"""What the footer of a shard tells: from what its rows were made, what they are, and a few counts."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.counts import Count, read_counts, write_counts
from toolformer_ray.records.fingerprint import FINGERPRINT_DIGITS, fingerprint

FINGERPRINT_KEY = b"toolformer.fingerprint"
COUNTS_KEY = b"toolformer.counts"
CONTENT_KEY = b"toolformer.content"
PARTS_KEY = b"toolformer.parts"
KEYS = (FINGERPRINT_KEY, COUNTS_KEY, CONTENT_KEY, PARTS_KEY)
LUCK = ("seconds", "from_cache")
"""Columns that may differ though nothing has changed: no part of a shard's content."""

# In Thrift's compact encoding a string is a byte that says so, its length (7 bits a byte, the last one below 0x80), and
# its characters.
_ENTRY = re.compile(
    rb"(%s)\x18[\x80-\xff]*[\x00-\x7f]([0-9a-f]{%d}|\{[^{}]*\})" % (b"|".join(map(re.escape, KEYS)), FINGERPRINT_DIGITS)
)


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """What the footer of a shard tells, without a row being read."""

    fingerprint: str
    """Of the settings and the input that the shard was made from."""
    counts: Mapping[Count, int]
    """What the stage counted."""
    content: str
    """Of the rows themselves, but for the columns in LUCK: what is made from equal content is equal."""
    parts: Mapping[str, str]
    """Per tool, of the settings and the documents that its rows were made from; empty where rows belong to no tool."""


def to_metadata(header: ShardHeader) -> dict[bytes, bytes]:
    """The header as key-value pairs of a Parquet footer."""
    return {
        FINGERPRINT_KEY: header.fingerprint.encode(),
        COUNTS_KEY: json.dumps(write_counts(header.counts)).encode(),
        CONTENT_KEY: header.content.encode(),
        PARTS_KEY: json.dumps(dict(header.parts)).encode(),
    }


def from_metadata(metadata: Mapping[bytes, bytes]) -> ShardHeader:
    """The header in a footer's key-value pairs. Raises KeyError or ValueError if they hold none."""
    return ShardHeader(
        fingerprint=metadata[FINGERPRINT_KEY].decode(),
        counts=read_counts(json.loads(metadata[COUNTS_KEY])),
        content=metadata[CONTENT_KEY].decode(),
        # The names are the same in every shard, of which there may be 100,000: they are kept once.
        parts={sys.intern(tool): part for tool, part in json.loads(metadata[PARTS_KEY]).items()},
    )


def find_header(tail: bytes) -> ShardHeader | None:
    """The header in the last bytes of a Parquet file, found by its keys; None where only a Parquet reader can tell.

    Opening a run reads every footer. A Parquet reader takes 0.2 ms for one, as it looks at all columns first: two
    minutes for 600,000. The key-value pairs are the last part of a footer, so what a text says that happens to stand
    in it as a column's smallest or largest value comes before.
    """
    length = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != b"PAR1" or length + 8 > len(tail):
        return None
    entries = dict(_ENTRY.findall(tail[-8 - length : -8]))
    return from_metadata(entries) if len(entries) == len(KEYS) else None


def fingerprint_content(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Of the rows as they are stored, so that it can be computed again from the file. `names` are those of all columns.

    Takes plain rows, not a table: making them costs as much as all the rest, and who reads a shard needs them anyway.
    """
    kept = [name for name in names if name not in LUCK]
    if len(kept) < len(names):
        rows = [{name: row[name] for name in kept} for row in rows]
    return fingerprint(kept, rows)
