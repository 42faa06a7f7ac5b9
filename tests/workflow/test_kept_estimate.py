"""`toolformer estimate --run`: annotate takes the sample's rows over, and the report compares."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document
from toolformer_ray.workflow.report.estimated import tokens_read
from toolformer_ray.workflow.verify.compare import compare_runs

pytestmark = pytest.mark.usefixtures("workers_in_process")

NUM_TEXTS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    texts = [f"Mill {n} ground {400 + n} sacks, [Calculator(1+1) -> 2] more." for n in range(NUM_TEXTS)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def command(name: str, run: Path, corpus: Path, model: str, *more: str) -> int:
    return main(
        [
            *(name, "--run", str(run), "--corpus", str(corpus), "--model", model, "--tools", "calculator"),
            *("--filter", "paper", "--shard-size", "4", "--max-call-tokens", "10", "--calculator.max-places", "8"),
            *("--calculator.num-samples", "40", "--model-workers", "1", "--calculator.min-loss-reduction=-1", *more),
        ]
    )


@pytest.fixture(scope="module")
def plain(workers_in_process: None, corpus: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without an estimate."""
    run = tmp_path_factory.mktemp("runs") / "plain"
    assert command("annotate", run, corpus, model) == 0
    return run


@pytest.fixture(scope="module")
def estimated(corpus: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder that has an estimate of half of its texts and nothing else."""
    run = tmp_path_factory.mktemp("runs") / "estimated"
    assert command("estimate", run, corpus, model, "--sample", str(NUM_TEXTS // 2)) == 0
    return run


@pytest.fixture
def run(estimated: Path, tmp_path: Path) -> Path:
    return shutil.copytree(estimated, tmp_path / "run")


def tokens(run: Path) -> int:
    return tokens_read(RunFolder(str(run)))


def test_annotate_goes_on_from_an_estimate_and_has_the_rows_of_a_run_without(
    run: Path, plain: Path, corpus: Path, model: str
) -> None:
    assert command("annotate", run, corpus, model) == 0
    assert compare_runs(str(run), str(plain)).differences == []
    # Half of the texts are done; the shapes of the batches differ a little.
    assert 0.3 * tokens(plain) < tokens(run) < 0.7 * tokens(plain)


def test_the_model_is_not_asked_at_all_if_all_texts_were_in_the_sample(
    plain: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert command("estimate", run, corpus, model, "--sample", str(NUM_TEXTS)) == 0
    assert command("annotate", run, corpus, model) == 0
    assert compare_runs(str(run), str(plain)).differences == []
    assert tokens(plain) > tokens(run) == 0


def test_what_was_estimated_for_other_settings_is_not_taken_over(
    run: Path, plain: Path, corpus: Path, model: str
) -> None:
    assert command("annotate", run, corpus, model, "--seed", "1") == 0
    assert tokens(run) > 0.9 * tokens(plain)


def test_texts_whose_date_has_changed_since_the_estimate_are_done_again(
    plain: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    texts, run = tmp_path / "texts.jsonl", tmp_path / "run"
    dated = [json.loads(line) | {"date": "2020-01-01"} for line in corpus.read_text().splitlines()]
    texts.write_text("".join(json.dumps(row) + "\n" for row in dated))
    assert command("estimate", run, texts, model, "--sample", str(NUM_TEXTS)) == 0
    # The words stay, and with them the names of the texts; what a tool answers may depend on the date.
    texts.write_text(texts.read_text().replace("2020-01-01", "2021-01-01"))
    assert command("annotate", run, texts, model) == 0
    assert tokens(run) > 0.9 * tokens(plain)


def test_an_estimate_that_was_killed_half_way_is_not_taken_over(
    run: Path, plain: Path, corpus: Path, model: str
) -> None:
    folder = RunFolder(str(run / "estimate"))
    texts = folder.read_shard("documents", "part-00000", Document)
    # The texts of the next estimate are there, its calls are not.
    folder.write_shard("documents", "part-00000", Document, texts, fingerprint="of the next one", counts={})
    assert command("annotate", run, corpus, model) == 0
    assert compare_runs(str(run), str(plain)).differences == []
    assert tokens(run) == pytest.approx(tokens(plain), rel=0.1)


def test_the_report_has_what_was_estimated_beside_what_was_spent(
    run: Path, corpus: Path, model: str, tmp_path: Path
) -> None:
    assert command("annotate", run, corpus, model) == 0
    page = tmp_path / "report.html"
    assert main(["report", str(run), "--out", str(page)]) == 0
    shown = page.read_text(encoding="utf-8")
    assert "against the estimate" in shown and f"{tokens(run):,}" in shown
    estimate = json.loads((run / "estimate/estimate.json").read_text())
    assert estimate["texts"] == NUM_TEXTS and estimate["sampled_texts"] == NUM_TEXTS // 2


def test_an_estimate_for_a_place_that_cannot_be_written_to_is_one_line(
    corpus: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").write_text("a file")
    assert command("estimate", tmp_path / "run", corpus, model, "--sample", "1") == 2
    assert "--run is " in capsys.readouterr().err.splitlines()[-1]
