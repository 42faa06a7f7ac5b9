"""A stage is one entry of the pipeline: a new one is run, resumed, reused, counted and verified like all others."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_jobs import SmallRecipe, make_job
from tests.support.stand_in import STAND_IN_PIPELINE
from toolformer_ray.jobs.driver.interrupts import Interrupts
from toolformer_ray.jobs.driver.run_job import Outcome, run_job
from toolformer_ray.records.counts import Count
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Document, Dropped, Scored
from toolformer_ray.workflow.shard.reuse import PerTool, StageOutput
from toolformer_ray.workflow.shard.stage import Stage
from toolformer_ray.workflow.verify.check import check_run
from toolformer_ray.workflow.verify.files import find_faults

pytestmark = pytest.mark.usefixtures("workers_in_process")


@dataclass(frozen=True, kw_only=True)
class Summary(Record):
    """How much one tool's calls help in a text. Produced by summarize; consumed by whoever likes."""

    table = "summaries"

    text_id: str
    tool: str
    loss_reduction: float


def summarize(_: Any, tools: Sequence[str], documents: list[Document], scored: list[Scored]) -> StageOutput:
    """One row for each text with a kept call of these tools; the others are dropped as `not_helped`."""
    kept = [row for row in scored if row.is_kept and row.tool in tools]
    sums: Counter[tuple[str, str]] = Counter()
    for row in kept:
        sums[row.text_id, row.tool] += row.loss_reduction or 0.0
    rows = [Summary(text_id=text_id, tool=tool, loss_reduction=total) for (text_id, tool), total in sums.items()]
    helped = {row.text_id for row in rows}
    about = {"stage": "summarize", "reason": "not_helped", "char_offset": None, "detail": None, "count": 1}
    return rows, [
        Dropped(text_id=text.text_id, tool=tool, **about)
        for text in documents
        for tool in tools
        if text.text_id not in helped
    ]


def count_helped(rows: Sequence[Summary], _: Sequence[Dropped]) -> Counter[Count]:
    return Counter(Count("helped", tool=row.tool) for row in rows)


def check_summaries(tables: Any, rows: Sequence[Summary], drops: Sequence[Dropped], _: Sequence[str]) -> Iterator[str]:
    told = {row.text_id for row in rows} | {drop.text_id for drop in drops}
    yield from (f"text {text.text_id} is not summarized" for text in tables[0] if text.text_id not in told)


def summary_settings(_: Any, key: str) -> tuple[object, ...]:
    return (key,)


SUMMARIZE = Stage(
    name="summarize",
    run=summarize,
    reads=(Document, Scored),
    writes=Summary,
    needs="cpu",
    drops=("not_helped",),
    reuse=PerTool(),
    counts=count_helped,
    check=check_summaries,
    tool_settings=summary_settings,
)
PIPELINE = (*STAND_IN_PIPELINE, SUMMARIZE)


def run(folder: Path, *, version: str = "", tools: Sequence[str] = ("Add",)) -> Outcome:
    job = make_job(folder, SmallRecipe())
    by_tool = {tool: fingerprint(tool) for tool in tools}
    job = replace(
        job,
        pipeline=PIPELINE,
        stage_fingerprints={**job.stage_fingerprints, "summarize": fingerprint("summarize", version)},
        tool_fingerprints={**job.tool_fingerprints, "summarize": by_tool},
    )
    settings = {"settings": {"tools": ["calculator"]}, "stage_fingerprints": job.stage_fingerprints}
    job.run.write_json("run.json", {**settings, "tool_fingerprints": job.tool_fingerprints})
    with Interrupts() as interrupts:
        return run_job(job, interrupts)


def summaries(folder: Path) -> list[Summary]:
    table = RunFolder(str(folder))
    return [row for shard in table.shards("summaries") for row in table.read_shard("summaries", shard, Summary)]


@pytest.fixture(scope="module")
def finished(workers_in_process: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("with a summary")
    assert run(folder).last.state == "finished"
    return folder


def test_it_is_run_after_the_stages_that_it_reads_and_its_rows_and_drops_are_counted(tmp_path: Path) -> None:
    outcome = run(tmp_path)
    # Twelve texts; every second one keeps a call.
    assert [row.text_id for row in summaries(tmp_path)] == [f"{number}-0" for number in range(0, 12, 2)]
    counts = outcome.ledger.counts["summarize"]
    assert counts == {
        Count("rows"): 6,
        Count("helped", tool="Add"): 6,
        Count("dropped", "not_helped", "Add"): 6,
    }
    assert outcome.last.done["summarize"] == 4


def test_it_is_resumed_made_again_when_it_changes_and_takes_over_what_holds(finished: Path) -> None:
    assert run(finished).ledger.num_skipped == 5 * 4  # five stages after the corpus, four shards
    before = {path: path.stat().st_mtime_ns for path in finished.glob("**/*.parquet")}
    made = run(finished, version="2")
    assert made.ledger.num_skipped == 4 * 4
    # What belongs to the tool was made from the same, so it was taken over, and written with the new fingerprint.
    after = {path: path.stat().st_mtime_ns for path in finished.glob("**/*.parquet")}
    changed = {path.parent.name for path in before if before[path] != after[path]}
    assert changed == {"summaries", "summarize"}
    assert len(summaries(finished)) == 6


def test_it_is_verified(finished: Path) -> None:
    folder = RunFolder(str(finished))
    assert list(find_faults(folder, PIPELINE)) == []
    assert not [finding for finding in check_run(str(finished), PIPELINE).findings if "summar" in finding]
    header = folder.header("summaries", "part-00001")
    assert header
    told = {"fingerprint": header.fingerprint, "counts": header.counts, "parts": header.parts}
    folder.write_shard("summaries", "part-00001", Summary, [], **told)
    findings = check_run(str(finished), PIPELINE).findings
    assert [finding for finding in findings if "summarize" in finding] == [
        "part-00001, summarize: text 4-0 is not summarized"
    ]
