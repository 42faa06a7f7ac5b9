"""Are the files of a run what they say? Schema, content and fingerprint of every shard, none of them from elsewhere."""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.corpus_state import INGEST_FILE
from jobs.ledger import Ledger
from jobs.pipeline import PIPELINE
from jobs.settings import RUN_FILE
from jobs.stage_outputs import belong_together, drops_table
from records.run_folder import RunFolder, shard_of
from records.schema import Record, arrow_schema
from records.shard_header import ShardHeader, fingerprint_content, from_metadata
from records.stages import DROP_REASONS, OUTPUT_RECORDS, Dropped


def find_faults(run: RunFolder) -> Iterator[tuple[str, str]]:
    """(shard, what is wrong with it) for every file whose columns, rows or fingerprint are not what they should be."""
    headers: dict[str, dict[str, ShardHeader]] = {}
    tables: Mapping[str, type[Record]] = OUTPUT_RECORDS | {f"dropped/{stage}": Dropped for stage in DROP_REASONS}
    for table, record in tables.items():
        headers[table] = {}
        for path in run.paths(table):
            try:
                headers[table][shard_of(path)] = _read(run, path, record)
            except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                yield shard_of(path), f"{table} is damaged: {' '.join(str(error).split())}"
    yield from _find_strangers(headers)
    yield from _find_parted(headers)
    yield from _find_stale(run, headers)


def _read(run: RunFolder, path: str, record: type[Record]) -> ShardHeader:
    """The header of a file that holds what its footer tells. Raises ValueError if it does not."""
    with run.filesystem.open_input_file(path) as source:
        content = pq.ParquetFile(source).read(use_threads=False)
    header = from_metadata(content.schema.metadata or {}, content.num_rows)
    plain = content.replace_schema_metadata(None)
    if not plain.schema.equals(arrow_schema(record)):
        raise ValueError(f"its columns are not those of a {record.__name__}")
    if fingerprint_content(plain) != header.content:
        raise ValueError("its rows are not those that its footer tells of")
    return header


def _find_strangers(headers: Mapping[str, Mapping[str, ShardHeader]]) -> Iterator[tuple[str, str]]:
    for table, by_shard in headers.items():
        for shard in sorted(by_shard.keys() - headers["documents"].keys()):
            yield shard, f"is in {table} but not in documents"


def _find_parted(headers: Mapping[str, Mapping[str, ShardHeader]]) -> Iterator[tuple[str, str]]:
    for stage in PIPELINE:
        for shard, header in headers[stage.writes].items():
            if not belong_together(header, headers[drops_table(stage)].get(shard)):
                yield shard, f"{drops_table(stage)} does not hold what {stage.writes} tells that was dropped"


def _find_stale(run: RunFolder, headers: Mapping[str, Mapping[str, ShardHeader]]) -> Iterator[tuple[str, str]]:
    """Outputs that were made from something else than the run's settings and the outputs before them."""
    made_with, corpus = run.read_json(RUN_FILE), run.read_json(INGEST_FILE)
    if not isinstance(made_with, dict) or "stage_fingerprints" not in made_with:
        return
    read = corpus["shards"] if isinstance(corpus, dict) else {}
    ledger = Ledger(
        PIPELINE,
        made_with["stage_fingerprints"],
        headers,
        tool_fingerprints=made_with.get("tool_fingerprints", {}),
    )
    for shard, documents in headers["documents"].items():
        if read.get(shard) != documents.fingerprint:
            yield shard, "its documents are not those that were read from the corpus"
        stage = ledger.admit(shard, documents)
        if stage and shard in headers[stage.writes]:
            yield shard, f"{stage.writes} was made with other settings or from other rows"
