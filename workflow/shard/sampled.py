"""The annotated sample of an estimate, kept in the folder of the run that it is for.

Rows of a text depend on no other text, so `annotate` takes those of the sample over where its texts come by: of the
tools whose settings are the same, for texts that are the same to the letter. The folder `estimate/` has one shard of
each table, all with one fingerprint; if one is of another sample, since an estimate was killed, nothing is taken.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.counts import ROWS
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import DamagedError, RunFolder, shard_name
from toolformer_ray.records.stages import Document, Dropped
from toolformer_ray.workflow.shard.outputs import Expected, find_output, read_drops, write_output
from toolformer_ray.workflow.shard.reuse import UNANSWERED
from toolformer_ray.workflow.shard.stage import Stage

_SHARD = shard_name(0)


@dataclass(frozen=True, kw_only=True)
class SampledRows:
    """What one stage made of the sample."""

    texts: Mapping[str, Document]
    """By their names."""
    made_by: Mapping[str, str]
    """Per tool, the hash of its settings."""
    rows: Sequence[Any]
    drops: Sequence[Dropped]


def sample_folder(run: RunFolder) -> RunFolder:
    """Where the sample of a run's estimate is, if there is one."""
    return RunFolder(f"{run.location.rstrip('/')}/estimate")


def keep_sample(
    folder: RunFolder,
    pipeline: Sequence[Stage],
    rows: Mapping[str, Sequence[Any]],
    drops: Mapping[str, Sequence[Dropped]],
    made_by: Mapping[str, Mapping[str, str]],
) -> None:
    """Write what the stages made of the sample, by table; `made_by` has a hash per stage and tool.

    Calls that had no answer are left out: the run asks for them itself. Raises OSError if it cannot be written.
    """
    folder.create()
    texts: Sequence[Document] = rows[Document.table]
    identity = fingerprint([vars(text) for text in texts], made_by)
    folder.write_shard(Document.table, _SHARD, Document, texts, fingerprint=identity, counts={ROWS: len(texts)})
    for stage in pipeline:
        if stage.name in made_by:
            made = [row for row in rows[stage.table] if getattr(row, "status", None) not in UNANSWERED]
            expected = Expected(fingerprint=identity, parts=made_by[stage.name])
            write_output(folder, stage, _SHARD, made, drops.get(stage.table, ()), expected)


def read_sample(folder: RunFolder, stage: Stage) -> SampledRows | None:
    """What a stage made of the sample; None if there is none, or if it is not whole."""
    header, texts = find_output(folder, stage, _SHARD), folder.header(Document.table, _SHARD)
    if header is None or texts is None or header.fingerprint != texts.fingerprint:
        return None
    try:
        return SampledRows(
            texts={text.text_id: text for text in folder.read_shard(Document.table, _SHARD, Document)},
            made_by=header.parts,
            rows=folder.read_shard(stage.table, _SHARD, stage.writes),
            drops=read_drops(folder, stage, _SHARD),
        )
    except (DamagedError, FileNotFoundError):
        return None


def known_texts(sample: SampledRows, documents: Collection[Document]) -> frozenset[str]:
    """The names of the documents that are in the sample, to the letter."""
    return frozenset(text.text_id for text in documents if sample.texts.get(text.text_id) == text)
