"""Jobs whose stages are a few lines of arithmetic.

Run as a module it is a driver in a process of its own: `python -m tests.support.small_jobs RUN GATE`.
"""

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.gate import Gate
from tests.support.rows import make_row
from tests.support.stand_in import STAND_IN_PIPELINE
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.run_job import Job, Outcome, run_job
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Candidate, Document, Dropped, Executed, Scored
from toolformer_ray.workflow.corpus import CorpusState
from toolformer_ray.workflow.log import ProgressOptions
from toolformer_ray.workflow.shard.reuse import StageOutput
from toolformer_ray.workflow.shard.stage import Needs
from toolformer_ray.workflow.workers import WorkerOptions

OK = {"status": "ok", "seconds": 0.0, "from_cache": False}
LOSSES = {"loss_with_call": 2.0, "loss_with_result": 1.0, "loss_reduction": 1.0}


@dataclass(frozen=True, kw_only=True)
class SmallRecipe:
    """Shards of three texts; every text with an even number keeps one call."""

    num_shards: int = 4
    gate: Gate | None = None
    gate_at: tuple[str, str] = ("score", "part-00002")
    fault: Exception | None = None
    """Raised at the shard that holds text 4, while executing; no row is taken to be at fault for an OSError."""
    unanswered: str | None = None
    """The status of the call of text 4."""
    answers: str = ""
    """What is put behind every answer."""
    first_to_open: str | None = None
    """A file that does not exist yet: the first worker with the model makes it, all others fail to start."""

    def ingest(self, readings: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        for shard in range(self.num_shards):
            if self.gate and self.gate_at == ("ingest", f"part-{shard:05d}"):
                self.gate.pass_through()
            yield [make_document(number) for number in range(3 * shard, 3 * shard + 3)], []

    def open(self, needs: Needs) -> Any:
        if self.first_to_open and needs == "model":
            try:
                Path(self.first_to_open).touch(exist_ok=False)
            except FileExistsError as error:
                raise RuntimeError("no room on this node") from error
        return self

    def compute(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        number = int(inputs[-1][0].doc_id)
        if self.gate and (stage, f"part-{number // 3:05d}") == self.gate_at:
            self.gate.pass_through()
        if self.fault and stage == "execute" and number == 3:
            raise self.fault
        rows, drops = COMPUTE[stage](*inputs)
        if stage == "execute":
            rows = [replace(row, result=row.result + self.answers) for row in rows]
            if self.unanswered:
                away = {"status": self.unanswered, "result": None}
                rows = [replace(row, **away) if row.text_id == "4-0" else row for row in rows]
        return rows, drops


def make_document(number: int) -> Document:
    return make_row(Document, text_id=f"{number}-0", doc_id=str(number), text=f"Text {number}.")


def propose(documents: list[Document]) -> StageOutput:
    even = [document for document in documents if int(document.doc_id) % 2 == 0]
    odd = [document.text_id for document in documents if document not in even]
    calls = [make_row(Candidate, text_id=d.text_id, call_input=f"{d.doc_id}+0", char_offset=4) for d in even]
    return calls, [make_row(Dropped, reason="no_position", text_id=text_id, tool="Add") for text_id in odd]


def execute(calls: list[Candidate], documents: list[Document]) -> StageOutput:
    return [Executed(**vars(call), **OK, result=call.call_input[:-2]) for call in calls], []


def score(calls: list[Executed], documents: list[Document]) -> StageOutput:
    future = {"input_sees_future": False, "sees_future": True}
    return [Scored(**vars(call) | LOSSES, **future, is_kept=True) for call in calls], []


def interleave(calls: list[Scored], documents: list[Document]) -> StageOutput:
    texts = {document.text_id: document for document in documents}
    return [
        Augmented(text_id=c.text_id, doc_id=texts[c.text_id].doc_id, text=f"x* {c.result}", num_calls=0, calls=())
        for c in calls
    ], []


COMPUTE = {"propose": propose, "execute": execute, "score": score, "interleave": interleave}


def make_job(folder: Path, recipe: SmallRecipe, ask_again: Sequence[str] = (), **workers: Any) -> Job:
    run = RunFolder(str(folder))
    run.create()
    fingerprints = {stage.name: fingerprint(stage.name) for stage in STAND_IN_PIPELINE}
    return Job(
        run=run,
        recipe=recipe,
        pipeline=STAND_IN_PIPELINE,
        stage_fingerprints=fingerprints,
        corpus=CorpusState(fingerprint=fingerprints["ingest"], files=[], shards={}),
        workers=WorkerOptions(**{"model_workers": 1, "retry_delay": 0.0} | workers),
        progress=ProgressOptions(),
        tool_names=["Add"],
        tool_fingerprints={stage: {"Add": fingerprint(stage)} for stage in ("propose", "execute", "score")},
        ask_again=ask_again,
    )


def run_small_job(folder: Path, recipe: SmallRecipe, **workers: Any) -> Outcome:
    with Interrupts() as interrupts:
        return run_job(make_job(folder, recipe, **workers), interrupts)


def read_rows(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table by table, whatever the shards."""
    import pyarrow.parquet as pq

    tables: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("**/*.parquet")):
        tables.setdefault(str(path.parent.relative_to(folder)), []).extend(pq.read_table(path).to_pylist())
    return tables


if __name__ == "__main__":
    with Interrupts() as interrupts:
        outcome = run_job(make_job(Path(sys.argv[1]), SmallRecipe(gate=Gate(sys.argv[2]))), interrupts)
        sys.exit(interrupts.exit_code if outcome.last.state == "stopped" else 0)
