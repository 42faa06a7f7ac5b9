"""The header of a shard, kept in its Parquet footer: what its rows were made from, what they are, and a few counts."""

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
VOLATILE_COLUMNS = ("seconds", "from_cache")
"""Columns that differ from run to run although nothing has changed. They are no part of a shard's content."""

# A string in Thrift's compact encoding: a byte for its type, its length in 7 bits a byte of which only the last is
# below 0x80, and its characters.
_ENTRY = re.compile(
    rb"(%s)\x18[\x80-\xff]*[\x00-\x7f]([0-9a-f]{%d}|\{[^{}]*\})" % (b"|".join(map(re.escape, KEYS)), FINGERPRINT_DIGITS)
)


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """The header of a shard."""

    fingerprint: str
    """Hash of the settings and the inputs that the shard was made from."""
    counts: Mapping[Count, int]
    """The stage's counts for this shard."""
    content: str
    """Hash of the rows, without VOLATILE_COLUMNS."""
    parts: Mapping[str, str]
    """Per tool, the hash of the settings and the documents that its rows were made from. Empty where rows belong to no
    tool."""


def to_metadata(header: ShardHeader) -> dict[bytes, bytes]:
    """The header as key-value pairs of a Parquet footer."""
    return {
        FINGERPRINT_KEY: header.fingerprint.encode(),
        COUNTS_KEY: json.dumps(write_counts(header.counts)).encode(),
        CONTENT_KEY: header.content.encode(),
        PARTS_KEY: json.dumps(dict(header.parts)).encode(),
    }


def from_metadata(metadata: Mapping[bytes, bytes]) -> ShardHeader:
    """The header in a footer's key-value pairs. Raises KeyError or ValueError if there is none."""
    return ShardHeader(
        fingerprint=metadata[FINGERPRINT_KEY].decode(),
        counts=read_counts(json.loads(metadata[COUNTS_KEY])),
        content=metadata[CONTENT_KEY].decode(),
        # There may be 100,000 shards, all with the same names of tools: each name is kept in memory once.
        parts={sys.intern(tool): part for tool, part in json.loads(metadata[PARTS_KEY]).items()},
    )


def find_header(tail: bytes) -> ShardHeader | None:
    """The header in the last bytes of a Parquet file, found by its keys; None if only a Parquet reader can tell.

    Opening a run reads every footer. A Parquet reader takes 0.2 ms for each, since it parses the statistics of all
    columns first: two minutes for the 600,000 files of 100,000 shards. The key-value pairs are the last part of a
    footer, so they win over any text in those statistics that happens to look like one of them.
    """
    length = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != b"PAR1" or length + 8 > len(tail):
        return None
    entries = dict(_ENTRY.findall(tail[-8 - length : -8]))
    return from_metadata(entries) if len(entries) == len(KEYS) else None


def fingerprint_content(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Hash of rows as they are stored, so that it can be computed again from the file. `names` are all columns.

    It takes plain rows, not a table: converting a table costs as much as the hash, and the callers need the rows
    anyway.
    """
    kept = [name for name in names if name not in VOLATILE_COLUMNS]
    if len(kept) < len(names):
        rows = [{name: row[name] for name in kept} for row in rows]
    return fingerprint(kept, rows)
