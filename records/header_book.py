"""The headers of a table in one file, so that a run of 100,000 shards is opened without opening 100,000 files.

The book only spares reading: an entry counts as long as its file has the size and the time of change that it had before
its footer was read, so a file that was replaced, cut or copied over is read again, and a book that is lost or damaged
is read as empty. A file that was young when the table was listed is left out, since it could be replaced within one
tick of the store's clock. No clock but the store's is asked. `toolformer verify` trusts no book: it reads every file.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.records.shard_header import ShardHeader, parse_counts, parse_parts

BOOK_FOLDER = "headers"
FORMAT = {b"toolformer.book": b"1"}
TICK = 2_000_000_000
"""Nanoseconds: the coarsest time of change that a store keeps, with a margin."""

Stamp = tuple[int, int]
"""(bytes, nanoseconds since 1970 of the last change), as the store tells."""
Book = Mapping[str, tuple[Stamp, ShardHeader]]
"""By shard, the file's stamp from before its footer was read, and its header."""


def book_name(table: str) -> str:
    """`headers/dropped-propose.book` for `dropped/propose`: no name that a glob for shards would find."""
    return f"{BOOK_FOLDER}/{table.replace('/', '-')}.book"


def write_book(found: Mapping[str, tuple[Stamp | None, ShardHeader | None]]) -> pa.Buffer:
    """The content of the file for what was found; what is damaged, no file, or too young is left out.

    Young is what is not older than the youngest by a tick: whatever replaces one of the others after the table was
    listed has a later time of change.
    """
    whole = {shard: (stamp, header) for shard, (stamp, header) in found.items() if stamp and header}
    youngest = max((changed for (_, changed), _ in whole.values()), default=0)
    book = {shard: entry for shard, entry in whole.items() if entry[0][1] < youngest - TICK}
    entries = list(book.values())
    headers = [header for _, header in entries]
    table = pa.table(
        {
            "shard": pa.array(list(book), pa.string()),
            "size": pa.array([size for (size, _), _ in entries], pa.int64()),
            "changed": pa.array([changed for (_, changed), _ in entries], pa.int64()),
            "fingerprint": pa.array([header.fingerprint for header in headers], pa.string()),
            "content": pa.array([header.content for header in headers], pa.string()),
            "counts": pa.array([json.dumps(dict(header.counts)) for header in headers], pa.string()),
            "parts": pa.array([json.dumps(dict(header.parts)) for header in headers], pa.string()),
            "num_rows": pa.array([header.num_rows for header in headers], pa.int64()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(FORMAT), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def read_book(content: bytes) -> Book:
    """The book in a file's content; an empty one if it is damaged or of another program."""
    try:
        file = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        if (file.schema_arrow.metadata or {}).get(b"toolformer.book") != FORMAT[b"toolformer.book"]:
            return {}
        return dict(map(_entry, file.read().to_pylist()))
    # No disk and no network is asked here: whatever is wrong is wrong with the bytes.
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return {}


def _entry(row: Mapping[str, Any]) -> tuple[str, tuple[Stamp, ShardHeader]]:
    header = ShardHeader(
        fingerprint=row["fingerprint"],
        counts=parse_counts(row["counts"]),
        content=row["content"],
        parts=parse_parts(row["parts"]),
        num_rows=row["num_rows"],
    )
    return row["shard"], ((row["size"], row["changed"]), header)
