"""What the driver itself costs: `python -m tests.simulation.measure [--shards 1000]`, with stages that do nothing.

Every shard still goes through all five stages: read from disk, done by an actor, written, renamed. CPU time tells more
than the clock where other work goes on beside it.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.process_usage import DRIVER, RAY, WORKERS, Sample, UsageSampler
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.run_job import Job, run_job
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Dropped, Scored
from toolformer_ray.workflow.corpus import CorpusState
from toolformer_ray.workflow.pipeline import PIPELINE, Needs
from toolformer_ray.workflow.report.progress import ProgressOptions
from toolformer_ray.workflow.shard.work import Compute, StageOutput
from toolformer_ray.workflow.workers import WorkerOptions


@dataclass(frozen=True, kw_only=True)
class DoNothing:
    """A corpus of one short text a shard, in which no model and no tool finds anything."""

    num_shards: int

    def ingest(self, _: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        """One text a shard."""
        for number in range(self.num_shards):
            yield [_document(number)], []

    def open(self, needs: Needs) -> Compute:
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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run has cost."""

    figures: Mapping[str, float]
    """Seconds until the first shard was through, Ray's own start included; then milliseconds each."""
    samples: Sequence[Sample]
    """While it ran; `num_done` counts shards that were through."""


def measure(num_shards: int, folder: Path) -> Measured:
    """Run so many shards through all stages."""
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
    augmented = folder / "augmented"
    with Interrupts() as interrupts, UsageSampler(lambda: _num_files(augmented)) as usage:
        run_job(job, interrupts)
    written = sorted(path.stat().st_mtime for path in augmented.glob("*.parquet"))
    per_shard = (written[-1] - written[0]) / max(1, len(written) - 1)
    figures = {
        "shards": len(written),
        "first_result_s": written[0] - started,
        "ms_per_shard": 1000 * per_shard,
        "ms_per_stage": 1000 * per_shard / len(PIPELINE),
        "total_s": time.time() - started,
    }
    return Measured(figures=figures, samples=usage.samples)


def _num_files(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.exists() else 0  # noqa: PTH208 - a Path for each file takes longer


def usage_table(samples: Sequence[Sample], step: int) -> str:
    """A line for every so many shards: the driver's memory, and what each of them has cost since the line before."""
    lines = ["| shards | driver MiB | ms a shard | driver CPU ms | workers CPU ms | Ray CPU ms |", "|--:" * 6 + "|"]
    before = next((sample for sample in samples if sample.num_done), None)
    for now in samples:
        if before and now.num_done - before.num_done >= step:
            spent = [now.seconds - before.seconds]
            spent += [now.cpu_seconds[kind] - before.cpu_seconds[kind] for kind in (DRIVER, WORKERS, RAY)]
            each = " | ".join(f"{1000 * seconds / (now.num_done - before.num_done):.2f}" for seconds in spent)
            lines.append(f"| {now.num_done:,} | {now.driver_bytes / 2**20:.0f} | {each} |")
            before = now
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure what the driver costs, with stages that do nothing.")
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--step", type=int, default=0, help="shards from line to line; by default a tenth of them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(arguments.shards, Path(folder))
    for name, value in measured.figures.items():
        print(f"{name:>16} {value:,.2f}")
    print(f"\n{usage_table(measured.samples, arguments.step or max(1, arguments.shards // 10))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
