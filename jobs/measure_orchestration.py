"""What the driver itself costs: `python -m jobs.measure_orchestration [--shards 1000]`, with stages that do nothing.

Every shard still goes through all five stages: read from disk, done by an actor, written, renamed.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.actors import WorkerOptions
from jobs.corpus_state import CorpusState
from jobs.interrupts import Interrupts
from jobs.pipeline import PIPELINE, Needs
from jobs.progress import ProgressOptions
from jobs.run_job import Job, run_job
from jobs.stage_work import Compute, StageOutput
from records.fingerprint import fingerprint
from records.run_folder import RunFolder
from records.stages import Document, Dropped, Scored


@dataclass(frozen=True, kw_only=True)
class DoNothing:
    """A corpus of one short text a shard, in which no model and no tool finds anything."""

    num_shards: int

    def ingest(self, _: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        """One text a shard."""
        for number in range(self.num_shards):
            yield [_document(number)], []

    def open(self, needs: Needs) -> Compute:  # noqa: ARG002 - nothing is needed
        """Stages without a result, the normal case of a text that keeps no call."""
        return _find_nothing

    def judge(self, row: Scored) -> Scored:
        """The verdict stands."""
        return row


def _find_nothing(*_: object) -> StageOutput:
    return [], []


def _document(number: int) -> Document:
    return Document(
        text_id=f"{number:032x}-0",
        doc_id=str(number),
        part=0,
        text=f"Text {number}.",
        title=None,
        url=None,
        date=None,
        source="nothing",
    )


def measure(num_shards: int, folder: Path) -> dict[str, float]:
    """Run so many shards: seconds until the first one was through, Ray's own start included; then milliseconds each."""
    run = RunFolder(str(folder))
    run.create()
    fingerprints = {stage.name: fingerprint(stage.name) for stage in PIPELINE}
    job = Job(
        run=run,
        recipe=DoNothing(num_shards=num_shards),
        stage_fingerprints=fingerprints,
        corpus=CorpusState(fingerprint=fingerprints["ingest"], files=[], shards={}),
        workers=WorkerOptions(model_workers=1),
        progress=ProgressOptions(),
        tool_names=[],
    )
    started = time.time()
    with Interrupts() as interrupts:
        run_job(job, interrupts)
    written = sorted(path.stat().st_mtime for path in (folder / "augmented").glob("*.parquet"))
    per_shard = (written[-1] - written[0]) / max(1, len(written) - 1)
    return {
        "shards": len(written),
        "first_result_s": written[0] - started,
        "ms_per_shard": 1000 * per_shard,
        "ms_per_stage": 1000 * per_shard / len(PIPELINE),
        "total_s": time.time() - started,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what the driver costs, with stages that do nothing.")
    parser.add_argument("--shards", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, value in measure(arguments.shards, Path(folder)).items():
            print(f"{name:>16} {value:,.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
