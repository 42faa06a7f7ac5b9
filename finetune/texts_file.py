"""The tokenised texts of one fine-tuning, and the file by which every worker reads the same ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from toolformer_ray.finetune.result_folder import TEXTS_FILE
from toolformer_ray.finetune.tokens import TokenisedText

_COLUMNS: dict[str, pa.DataType] = {
    "ids": pa.list_(pa.int32()),
    "is_result": pa.list_(pa.bool_()),
    "is_held_out": pa.bool_(),
}


@dataclass(frozen=True, kw_only=True)
class TrainingTexts:
    """What all workers train on, and what the perplexity is measured on."""

    texts: Sequence[TokenisedText]
    held_out: Sequence[TokenisedText]


def write_texts(folder: Path, texts: TrainingTexts) -> None:
    """Write `texts.parquet`, whole or not at all."""
    marked = [*((text, False) for text in texts.texts), *((text, True) for text in texts.held_out)]
    columns = [
        [list(text.ids) for text, _ in marked],
        [list(text.is_result) for text, _ in marked],
        [is_held_out for _, is_held_out in marked],
    ]
    temporary = folder / f".{TEXTS_FILE}.tmp"
    pq.write_table(pa.table(columns, schema=pa.schema(_COLUMNS)), temporary, compression="zstd")
    temporary.replace(folder / TEXTS_FILE)


def read_texts(folder: Path) -> TrainingTexts:
    """Read what `write_texts` has written."""
    texts: list[TokenisedText] = []
    held_out: list[TokenisedText] = []
    for batch in pq.ParquetFile(folder / TEXTS_FILE).iter_batches():
        for row in batch.to_pylist():
            text = TokenisedText(ids=row["ids"], is_result=row["is_result"])
            (held_out if row["is_held_out"] else texts).append(text)
    return TrainingTexts(texts=texts, held_out=held_out)
