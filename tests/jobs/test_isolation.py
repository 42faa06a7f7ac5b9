"""Texts and calls that break a stage, on a real Ray: they are dropped with their error, and all others go on."""

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.small_jobs import SmallRecipe, make_document, read_rows, run_small_job
from toolformer_ray.jobs.driver import loop as driver
from toolformer_ray.records.counts import Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Dropped
from toolformer_ray.workflow.shard.reuse import UNANSWERED, StageOutput
from toolformer_ray.workflow.verify.files import find_faults

pytestmark = pytest.mark.usefixtures("workers_in_process")
TABLES = ("documents", "candidates", "executed", "scored", "augmented", "dropped/propose")


@dataclass(frozen=True, kw_only=True)
class BreakingRecipe(SmallRecipe):
    """A stage breaks over the rows of some texts. Every even text has a call, which is kept."""

    num_texts: int = 8
    """In one shard."""
    stage: str = "propose"
    poison: Collection[int] = ()
    """Numbers of the texts."""
    dies: bool = False
    """Whether the worker dies of it."""
    failures: str | None = None
    """A file that grows by a byte with each failure; there are `num_failures` of them, then all is well."""
    num_failures: int = 0

    def ingest(self, readings: Sequence[Sequence[str]]) -> Iterator[tuple[Sequence[Document], Sequence[Dropped]]]:
        yield [make_document(number) for number in range(self.num_texts)], []

    def compute(self, stage: str, inputs: Sequence[list[Any]], tools: Collection[str]) -> StageOutput:
        is_hit = stage == self.stage and {f"{number}-0" for number in self.poison} & {row.text_id for row in inputs[0]}
        if is_hit and not self._is_over():
            if self.dies:
                os._exit(1)
            raise RuntimeError("s3://KEY:SECRET@bucket/x broke\nin the middle")
        return super().compute(stage, inputs, tools)

    def _is_over(self) -> bool:
        if not self.failures:
            return False
        with Path(self.failures).open("ab") as file:
            file.write(b".")
        return Path(self.failures).stat().st_size > self.num_failures


@pytest.fixture(scope="module")
def undisturbed(workers_in_process: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run_small_job(folder, BreakingRecipe(num_texts=96))
    return read_rows(folder)


def first(rows: dict[str, list[dict[str, Any]]], num_texts: int, but: Collection[int] = (), after: str = "") -> dict:
    """The rows of a run over the first texts alone, without those of some texts in the tables after one."""
    late = TABLES[TABLES.index(after) + 1 :] if after else ()
    return {
        table: [
            row
            for row in rows[table]
            if (number := int(row["text_id"][:-2])) < num_texts and not (number in but and table in late)
        ]
        for table in TABLES
    }


def rows_but_broken(folder: Path) -> dict[str, list[dict[str, Any]]]:
    rows = read_rows(folder)
    return {table: [row for row in rows[table] if row.get("reason") != "broken"] for table in TABLES}


def broken(folder: Path, stage: str) -> list[tuple[object, ...]]:
    rows = [row for row in read_rows(folder).get(f"dropped/{stage}", []) if row["reason"] == "broken"]
    return [(row["text_id"], row["tool"], row["char_offset"], row["detail"]) for row in rows]


def assert_whole(folder: Path) -> None:
    assert list(find_faults(RunFolder(str(folder)))) == []
    assert not list(folder.glob("failed/*/*.json"))


@pytest.mark.parametrize(
    ("stage", "after", "num_rows", "poison", "given"),
    [
        ("propose", "documents", 8, [3], {}),
        ("propose", "documents", 8, [4], {}),
        ("execute", "candidates", 2, [2], {"num_texts": 4, "dies": True}),
        ("score", "executed", 48, [0, 2, 48, 70, 94], {"num_texts": 96}),
        ("interleave", "scored", 4, [4], {}),
    ],
)
def test_rows_on_which_a_stage_breaks_are_dropped_with_their_error_and_the_others_go_on(
    stage: str,
    after: str,
    num_rows: int,
    poison: list[int],
    given: dict[str, Any],
    undisturbed: dict,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    recipe = BreakingRecipe(stage=stage, poison=poison, **given)
    if recipe.dies:
        request.getfixturevalue("workers_in_ray")
    outcome = run_small_job(tmp_path, recipe, max_attempts=1 if recipe.dies else 2)
    assert (outcome.last.state, outcome.last.finished_texts) == ("finished", recipe.num_texts)
    char_offset = None if stage == "propose" else 4
    assert [place for *place, _ in broken(tmp_path, stage)] == [[f"{n}-0", "Add", char_offset] for n in poison]
    error = "the worker died: " if recipe.dies else "RuntimeError: s3://bucket/x broke"
    assert all(detail.startswith(error) and "\n" not in detail for *_, detail in broken(tmp_path, stage))
    assert outcome.ledger.counts[stage][Count("dropped", "broken", "Add")] == len(poison)
    assert rows_but_broken(tmp_path) == first(undisturbed, recipe.num_texts, but=poison, after=after)
    assert_whole(tmp_path)
    said = capsys.readouterr().err
    assert f"part-00000 at {stage} goes on without {len(poison)} of its {num_rows} rows, which are dropped" in said
    assert "SECRET" not in said


@pytest.mark.parametrize("num_failures", [2, 5])
def test_what_fails_now_and_then_costs_no_row(num_failures: int, undisturbed: dict, tmp_path: Path) -> None:
    recipe = BreakingRecipe(poison=[4], failures=str(tmp_path / "failures"), num_failures=num_failures)
    assert run_small_job(tmp_path / "run", recipe, max_attempts=2).last.state == "finished"
    assert read_rows(tmp_path / "run") == first(undisturbed, 8)


def test_a_shard_of_which_every_row_breaks_is_put_aside_as_a_whole(tmp_path: Path) -> None:
    outcome = run_small_job(tmp_path, BreakingRecipe(num_texts=16, poison=range(16)), max_attempts=1)
    assert (outcome.last.state, outcome.last.failed_shards) == ("failed", 1)
    failure = json.loads((tmp_path / "failed/propose/part-00000.json").read_text())
    assert failure["error"] == "RuntimeError: s3://bucket/x broke"
    assert failure["not_without_some_rows"] == "more than 2 of 16 rows fail, so it is not only theirs"
    assert "dropped/propose" not in read_rows(tmp_path)


def test_broken_rows_count_as_done_until_failed_ones_are_tried_again(undisturbed: dict, tmp_path: Path) -> None:
    for stage in ("propose", "execute"):
        folder = tmp_path / stage
        run_small_job(folder, BreakingRecipe(stage=stage, poison=[4]), max_attempts=1)
        assert run_small_job(folder, BreakingRecipe()).ledger.num_new_texts == 0
        assert len(broken(folder, stage)) == 1
        assert run_small_job(folder, BreakingRecipe(), ask_again=UNANSWERED).last.state == "finished"
        assert read_rows(folder) == first(undisturbed, 8)
        assert_whole(folder)


def test_a_run_that_is_stopped_while_a_shard_is_split_begins_with_the_shard_anew(
    undisturbed: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stop(*_: object) -> None:
        raise driver.Stopped

    recipe = BreakingRecipe(poison=[4])
    with monkeypatch.context() as patch:
        patch.setattr("toolformer_ray.jobs.driver.isolation.find_broken", stop)
        assert run_small_job(tmp_path, recipe, max_attempts=1).last.state == "stopped"
    assert run_small_job(tmp_path, recipe, max_attempts=1).last.state == "finished"
    assert [text_id for text_id, *_ in broken(tmp_path, "propose")] == ["4-0"]
    assert rows_but_broken(tmp_path) == first(undisturbed, 8, but=[4], after="documents")
