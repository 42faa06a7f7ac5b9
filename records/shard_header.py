"""What the footer of a shard tells: from what its rows were made, what they are, and a few counts."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.fingerprint import fingerprint

FINGERPRINT_KEY = b"toolformer.fingerprint"
COUNTS_KEY = b"toolformer.counts"
CONTENT_KEY = b"toolformer.content"
PARTS_KEY = b"toolformer.parts"
LUCK = ("seconds", "from_cache")
"""Columns that may differ though nothing has changed: no part of a shard's content."""


@dataclass(frozen=True, kw_only=True)
class ShardHeader:
    """What the footer of a shard tells, without a row being read."""

    fingerprint: str
    """Of the settings and the input that the shard was made from."""
    counts: Mapping[str, int]
    """What the stage counted, by name."""
    content: str
    """Of the rows themselves, but for the columns in LUCK: what is made from equal content is equal."""
    parts: Mapping[str, str]
    """Per tool, of the settings and the documents that its rows were made from; empty where rows belong to no tool."""
    num_rows: int


def to_metadata(header: ShardHeader) -> dict[bytes, bytes]:
    """The header as key-value pairs of a Parquet footer."""
    return {
        FINGERPRINT_KEY: header.fingerprint.encode(),
        COUNTS_KEY: json.dumps(dict(header.counts)).encode(),
        CONTENT_KEY: header.content.encode(),
        PARTS_KEY: json.dumps(dict(header.parts)).encode(),
    }


def from_metadata(metadata: Mapping[bytes, bytes], num_rows: int) -> ShardHeader:
    """The header in a footer. Raises KeyError or ValueError if it holds none."""
    return ShardHeader(
        fingerprint=metadata[FINGERPRINT_KEY].decode(),
        counts=parse_counts(metadata[COUNTS_KEY]),
        content=metadata[CONTENT_KEY].decode(),
        parts=parse_parts(metadata[PARTS_KEY]),
        num_rows=num_rows,
    )


def parse_counts(written: bytes | str) -> dict[str, int]:
    """Counts by name. The names are the same in every shard, of which there may be 100,000: they are kept once."""
    return {sys.intern(name): number for name, number in json.loads(written).items()}


def parse_parts(written: bytes | str) -> dict[str, str]:
    """Fingerprints by tool."""
    return {sys.intern(name): part for name, part in json.loads(written).items()}


def fingerprint_content(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """Of the rows as they are stored, so that it can be computed again from the file. `names` are those of all columns.

    Takes plain rows, not a table: making them costs as much as all the rest, and who reads a shard needs them anyway.
    """
    kept = [name for name in names if name not in LUCK]
    if len(kept) < len(names):
        rows = [{name: row[name] for name in kept} for row in rows]
    return fingerprint(kept, rows)
