"""Small corpora on disk, and what ingest makes of them."""

import json
from pathlib import Path

from tests.support.models import build_tokenizer
from toolformer_ray.annotate.ingest import IngestOptions, Shard, ingest
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.stages import Document, Dropped

TOKENIZER = TextTokenizer(build_tokenizer())


def shards(*corpus: object, max_text_tokens: int = 100, **options: object) -> list[Shard]:
    """All shards of a corpus."""
    chosen = IngestOptions(corpus=tuple(str(location) for location in corpus), **options)
    return list(ingest(chosen, TOKENIZER, max_text_tokens))


def ingested(*corpus: object, **options: object) -> tuple[list[Document], list[Dropped]]:
    """All documents and all drops of a corpus."""
    found = shards(*corpus, **options)
    return [row for shard in found for row in shard.documents], [row for shard in found for row in shard.dropped]


def texts(*corpus: object, **options: object) -> list[str]:
    """The texts of a corpus."""
    return [document.text for document in ingested(*corpus, **options)[0]]


def lines(*rows: object) -> bytes:
    """Rows as JSON Lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(path: Path, content: bytes) -> Path:
    """Write a file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
