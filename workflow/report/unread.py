"""What was lost of a corpus while it was read, told at the end of a run: rows by reason, and files by name."""

from collections.abc import Mapping

import pyarrow.compute as pc

from toolformer_ray.records.counts import Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import UNUSABLE_SOURCE, Dropped
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.query import open_table

MAX_NAMED = 5
_LOST = {"invalid_utf8": "no UTF-8", "invalid_row": "no JSON object", "missing_text": "no text"}


def describe_unread(run: RunFolder, counts: Mapping[str, Mapping[Count, int]]) -> list[str]:
    """A line for the rows that had no usable text, and one for each file of which no row had; empty if all had one.

    Texts that occur twice, and those that are white space, are no loss.
    """
    drops = {name.detail: number for name, number in counts[PIPELINE[0].name].items() if name.what == "dropped"}
    lost = {told: drops[reason] for reason, told in _LOST.items() if drops.get(reason)}
    lines = []
    if lost:
        told = ", ".join(f"{told} {number:,}" for told, number in lost.items())
        lines.append(f"{sum(lost.values()):,} rows of the corpus were dropped ({told}), see dropped")
    if num_files := drops.get(UNUSABLE_SOURCE, 0):
        lines += _unusable_files(run)
        if num_files > MAX_NAMED:
            lines.append(f"and {num_files - MAX_NAMED:,} more files of which no row is usable")
    return lines


def _unusable_files(run: RunFolder) -> list[str]:
    table = open_table(run, Dropped, run.paths(PIPELINE[0].drops_table))
    rows = table.head(MAX_NAMED, columns=["text_id", "detail"], filter=pc.field("reason") == UNUSABLE_SOURCE)
    return [f"{row['text_id']}: {row['detail']}" for row in rows.to_pylist()]
