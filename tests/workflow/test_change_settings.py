"""A run goes on with other settings: what depends on them is made again, and the rows are those of a new run."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.small_jobs import read_rows
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Executed, Scored

pytestmark = pytest.mark.usefixtures("workers_in_process")

SWEEPABLE = ("--prune-below=-1", "--calculator.min-loss-reduction=-1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    texts = [f"Mill {n} ground {400 + n} sacks, [Calculator(1+1) -> 2] more." for n in range(4)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def annotate(
    run: Path, corpus: Path, model: str, *more: str, tools: str = "calculator", filter_name: str = "paper"
) -> int:
    return main(
        [
            *("annotate", "--run", str(run), "--corpus", str(corpus), "--model", model, "--tools", tools),
            *("--filter", filter_name),
            *("--shard-size", "2", "--max-call-tokens", "10", "--calculator.max-places", "8", "--retry-delay", "0"),
            *("--calculator.num-samples", "40", "--model-workers", "1", *more),
        ]
    )


@pytest.fixture(scope="module")
def first(workers_in_process: None, corpus: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "first"
    assert annotate(run, corpus, model, *SWEEPABLE) == 0
    return run


@pytest.fixture
def run(first: Path, tmp_path: Path) -> Path:
    """A finished run that a test may change."""
    return shutil.copytree(first, tmp_path / "run")


@pytest.fixture
def pools(workers_in_process: None, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The CPUs that each worker asks for which is started: only those with the model ask for any."""
    from toolformer_ray.jobs.driver import worker_pool

    asked: list[float] = []
    start = worker_pool.start_actor
    monkeypatch.setattr(worker_pool, "start_actor", lambda *given: asked.append(given[-1].num_cpus) or start(*given))
    return asked


def written_at(run: Path) -> dict[str, int]:
    return {str(path.relative_to(run)): path.stat().st_mtime_ns for path in run.glob("**/*.parquet")}


def tables_written(run: Path, before: dict[str, int]) -> set[str]:
    return {str(Path(name).parent) for name, time in written_at(run).items() if before.get(name) != time}


def assert_rows_of(run: Path, other: Path) -> None:
    from toolformer_ray.workflow.verify.compare import compare_runs

    assert compare_runs(str(run), str(other)).differences == []
    assert main(["verify", str(run)]) == 0


def rows(run: Path, table: str, record: type) -> list:
    folder = RunFolder(str(run))
    return [row for shard in folder.shards(table) for row in folder.read_shard(table, shard, record)]


def test_another_tau_f_speaks_the_verdicts_anew_and_moves_no_text_through_the_model(
    run: Path, corpus: Path, model: str, tmp_path: Path, pools: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    reductions = sorted(row.loss_reduction for row in rows(run, "scored", Scored) if row.loss_reduction is not None)
    # Between two rows, so that it is close to none.
    tau_f = (reductions[len(reductions) // 2] + reductions[len(reductions) // 2 + 1]) / 2
    changed = ("--prune-below=-1", f"--calculator.min-loss-reduction={tau_f}")
    before = written_at(run)
    assert annotate(run, corpus, model, *changed) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--calculator.min-loss-reduction was -1.0 and is" in line and "--change-settings" in line
    assert tables_written(run, before) == set()

    assert annotate(run, corpus, model, *changed, "--change-settings") == 0
    assert tables_written(run, before) == {"scored", "augmented"}
    assert set(pools) == {0}
    pools.clear()
    assert annotate(run, corpus, model, *changed) == 0
    assert pools == []
    assert annotate(tmp_path / "new", corpus, model, *changed) == 0
    assert_rows_of(run, tmp_path / "new")


def test_a_tool_that_is_added_is_annotated_and_the_others_are_not_again(
    run: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    before = read_rows(run)
    changed = (*SWEEPABLE, "--calendar.min-loss-reduction=-1")
    assert annotate(run, corpus, model, *changed, "--change-settings", tools="calendar,calculator") == 0
    assert annotate(tmp_path / "new", corpus, model, *changed, tools="calendar,calculator") == 0
    assert_rows_of(run, tmp_path / "new")
    # To the last digit, and how long they took too: none of it was made again.
    after = read_rows(run)
    assert [row for row in after["scored"] if row["tool"] == "Calculator"] == before["scored"]
    assert any(row["tool"] == "Calendar" for row in after["dropped/propose"])
    assert annotate(run, corpus, model, *SWEEPABLE, "--change-settings") == 0
    assert read_rows(run) == before


def test_a_tool_that_answers_otherwise_is_asked_again_and_the_rest_stands_where_answers_are_the_same(
    run: Path, corpus: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolformer_ray.tools.calculator import Calculator

    monkeypatch.setattr(Calculator, "version", 2)
    before, seconds = written_at(run), [row.seconds for row in rows(run, "executed", Executed)]
    assert annotate(run, corpus, model, *SWEEPABLE) == 0
    assert tables_written(run, before) == {"executed"}
    assert [row.seconds for row in rows(run, "executed", Executed)] != seconds


def test_files_that_are_added_to_the_corpus_are_annotated_and_the_others_are_not_again(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, run = tmp_path / "corpus", tmp_path / "run"
    corpus.mkdir()
    (corpus / "b.txt").write_text("Mill 1 ground 401 sacks, 2 more.")
    assert annotate(run, corpus, model, *SWEEPABLE) == 0
    before = written_at(run)
    (corpus / "a.txt").write_text("Mill 2 ground 402 sacks, 3 more.")
    (corpus / "c.txt").write_text("Mill 1 ground 401 sacks, 2 more.")
    assert annotate(run, corpus, model, *SWEEPABLE) == 0
    assert written_at(run).items() >= before.items()
    assert {Path(name).stem for name in written_at(run).keys() - before.keys()} == {"part-00001"}
    assert [row["text"][5] for row in read_rows(run)["documents"]] == ["1", "2"]
    assert [row["reason"] for row in read_rows(run)["dropped/ingest"]] == ["duplicate"]
    assert main(["verify", str(run)]) == 0


def test_another_filter_asks_no_tool_again_and_more_decoys_move_through_the_model_and_nothing_else_does(
    run: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    everything = ("--prune-below=-1", "--calculator.min-contrast=-1")
    asked = [row.seconds for row in rows(run, "executed", Executed)]
    assert annotate(run, corpus, model, *everything, "--change-settings", filter_name="decoys") == 0
    assert annotate(tmp_path / "new", corpus, model, *everything, filter_name="decoys") == 0
    assert_rows_of(run, tmp_path / "new")
    assert [row.seconds for row in rows(run, "executed", Executed)] == asked
    before = written_at(run)
    more = (*everything, "--num-decoys", "4")
    assert annotate(run, corpus, model, *more, "--change-settings", filter_name="decoys") == 0
    assert not tables_written(run, before) & {"documents", "candidates"}
    assert {len(row.losses_of_decoys) for row in rows(run, "scored", Scored) if row.result} == {4}
    assert [row.seconds for row in rows(run, "executed", Executed)] == asked


def test_another_tau_d_speaks_the_verdicts_anew_and_moves_no_text_through_the_model(
    corpus: Path, model: str, tmp_path: Path, pools: list[float]
) -> None:
    run = tmp_path / "run"
    assert annotate(run, corpus, model, "--prune-below=-1", filter_name="decoys") == 0
    contrasts = sorted(row.contrast for row in rows(run, "scored", Scored) if row.contrast is not None)
    tau_d = (contrasts[len(contrasts) // 2] + contrasts[len(contrasts) // 2 + 1]) / 2
    pools.clear()
    changed = ("--prune-below=-1", f"--calculator.min-contrast={tau_d}")
    assert annotate(run, corpus, model, *changed, "--change-settings", filter_name="decoys") == 0
    assert set(pools) == {0}
    assert annotate(tmp_path / "new", corpus, model, *changed, filter_name="decoys") == 0
    assert_rows_of(run, tmp_path / "new")
