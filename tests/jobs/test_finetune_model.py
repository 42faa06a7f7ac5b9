"""`toolformer finetune` as its user calls it: what it refuses, and that it goes on where it was killed."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.many_texts import write_texts
from tests.support.models import save_model
from tests.support.refusals import Refuse
from toolformer_ray.finetune.options import TrainOptions
from toolformer_ray.finetune.progress import Progress
from toolformer_ray.finetune.result_folder import refuse_foreign_folder
from toolformer_ray.finetune.texts_file import read_texts
from toolformer_ray.finetune.train import train
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.jobs.training.finetune import NO_PACKING, printing_progress
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.whole_json import write_json

REPOSITORY = Path(__file__).parents[2]
SUM = ("Calculator", "2 + 3", "5", 2.0)
TRAINING = (
    *("--max-steps", "12", "--batch-size", "32", "--rows-at-once", "8", "--max-length", "48"),
    *("--learning-rate", "0.01", "--evaluate-every", "4", "--dtype", "float32", "--zero-stage", "2"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("annotated")
    return write_texts(str(folder), {f"text {number}": [SUM] for number in range(600)})


SHORT = ("--max-length", "48")


def test_a_run_without_a_kept_call_teaches_nothing(refuse: Refuse, model: str, tmp_path: Path) -> None:
    poor = write_texts(str(tmp_path / "poor"), {"a": [("Calculator", "1 + 1", "2", 0.5)]})
    line = refuse("finetune", "--run", poor, "--model", model, *SHORT, "--out", str(tmp_path / "out"))
    assert f"no call was kept in {poor}" in line
    assert not (tmp_path / "out").exists()


def test_a_model_without_tokenizer_is_refused(refuse: Refuse, run: str, model: str, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(model, tmp_path / "bare"))
    for file in bare.glob("*token*"):
        file.unlink()
    line = refuse("finetune", "--run", run, "--model", str(bare), *SHORT, "--out", str(tmp_path / "out"))
    assert f"there is no tokenizer in '{bare}'" in line


def test_a_corrupt_shard_is_named_and_nothing_is_lost(refuse: Refuse, run: str, model: str, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(run, tmp_path / "broken"))
    (shard,) = broken.glob("scored/*.parquet")
    shard.write_bytes(shard.read_bytes()[:100])
    line = refuse("finetune", "--run", str(broken), "--model", model, *SHORT, "--out", str(tmp_path / "out"))
    assert str(broken) in line and "toolformer verify" in line
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_or_no_even_batch_is_refused(refuse: Refuse, run: str, model: str, tmp_path: Path) -> None:
    out = (*SHORT, "--out", str(tmp_path / "out"))
    assert "no run folder is there" in refuse("finetune", "--run", str(tmp_path), "--model", model, *out)
    line = refuse("finetune", "--run", run, "--model", model, *out, "--batch-size", "6", "--rows-at-once", "4")
    assert line.startswith("--batch-size is 6; it must be a multiple of 4")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_rows_longer_than_the_window_of_the_model_are_refused(
    refuse: Refuse, run: str, model: str, tmp_path: Path
) -> None:
    line = refuse("finetune", "--run", run, "--model", model, "--out", str(tmp_path / "out"), "--max-length", "513")
    assert line == f"--max-length is 513; {model} reads 512 tokens at most: give --max-length 512 or less"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("written", ["{}", "./{}/", "{}/../{}"])
def test_neither_the_model_nor_a_run_is_written_over(
    refuse: Refuse, written: str, run: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {"model": Path(shutil.copytree(model, tmp_path / "mine")), "run": Path(shutil.copytree(run, tmp_path / "C"))}
    monkeypatch.chdir(tmp_path)
    for option, folder in mine.items():
        out, before = written.format(folder.name, folder.name), contents(folder)
        line = refuse("finetune", "--run", "C", "--model", str(mine["model"]), "--out", out)
        assert line == (
            f"--out is {out}; that is {'the' if option == 'model' else 'a'} --{option}, which would be "
            "overwritten: give another folder"
        )
        assert contents(folder) == before


def test_a_folder_with_files_of_others_is_left_as_it_is(refuse: Refuse, run: str, model: str, tmp_path: Path) -> None:
    others = tmp_path / "others"
    (others / "checkpoints/checkpoint-900").mkdir(parents=True)
    (others / "checkpoints/checkpoint-900/trainer_state.json").write_text("{}")
    (others / "README.md").write_text("mine")
    before = contents(others)
    given = ("--run", run, "--model", model, *SHORT)
    line = refuse("finetune", *given, "--out", str(others))
    assert "it holds files but no fine-tuning (README.md, checkpoints)" in line
    (others / "finetune.json").write_text("[1]")
    line = refuse("finetune", *given, "--out", str(others))
    assert "its finetune.json is not one that a fine-tuning has written" in line
    (others / "finetune.json").unlink()
    assert contents(others) == before
    line = refuse("finetune", *given, "--out", str(others / "README.md"))
    assert "a file has that name" in line


def test_a_start_that_was_interrupted_is_no_obstacle(run: str, model: str, tmp_path: Path) -> None:
    options = TrainOptions(model=model, out=str(tmp_path))
    refuse_foreign_folder(options, [run])
    for name in (".texts.parquet.tmp", "texts.parquet", ".finetune.json.tmp"):
        (tmp_path / name).touch()
        refuse_foreign_folder(options, [run])
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="it holds files but no fine-tuning"):
        refuse_foreign_folder(options, [run])


def test_who_waits_is_told_how_far_it_is_and_once_that_texts_share_no_rows(model: str, tmp_path: Path, capsys) -> None:
    progress = Progress(step=2, loss=3.0, seconds_per_step=0.5, shares_rows=False)
    with printing_progress(tmp_path, TrainOptions(model=model, out=str(tmp_path), max_steps=4)):
        write_json(tmp_path / "progress.json", asdict(progress))
    with printing_progress(tmp_path, TrainOptions(model=model, out=str(tmp_path), max_steps=4)):
        pass  # nothing new
    assert capsys.readouterr().err.splitlines() == [NO_PACKING, "step 2 of 4; loss 3.000; 0.5 s a step; 0:00:01 left"]


@pytest.fixture(scope="module")
def killed_and_resumed(run: str, model: str, tmp_path_factory: pytest.TempPathFactory, shared_ray: str) -> Path:
    """Two workers with ZeRO 2, killed with their driver and its Ray behind the first checkpoint, started on another."""
    out = tmp_path_factory.mktemp("tuned") / "model"
    arguments = ["--run", run, "--model", model, "--out", str(out), *TRAINING, "--num-workers", "2"]
    command = [sys.executable, "-m", "jobs.finetune_model", *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stdout=subprocess.DEVNULL) as first:
        wait_for(out / "checkpoints/checkpoint-4/trainer_state.json", first)
        os.killpg(first.pid, signal.SIGKILL)
    assert not (out / "result.json").exists()
    assert main(["finetune", *arguments]) == 0
    return out


def wait_for(path: Path, process: subprocess.Popen) -> None:
    ends = time.monotonic() + 240
    while not path.exists():
        assert time.monotonic() < ends
        with contextlib.suppress(subprocess.TimeoutExpired):
            pytest.fail(f"it ended with {process.wait(0.2)} before its first checkpoint")


def test_killed_and_resumed_it_ends_with_the_loss_of_an_undisturbed_worker_without_deepspeed(
    killed_and_resumed: Path, model: str, tmp_path: Path
) -> None:
    options = TrainOptions(
        model=model,
        out=str(tmp_path),
        max_steps=12,
        batch_size=32,
        rows_at_once=8,
        max_length=48,
        learning_rate=0.01,
        evaluate_every=4,
        dtype="float32",
        without_deepspeed=True,
    )
    undisturbed = train(options, read_texts(killed_and_resumed), num_workers=1, use_gpu=False)
    resumed = json.loads((killed_and_resumed / "result.json").read_text())
    assert [step for step, _ in resumed["losses"]] == list(range(1, 13))
    assert [loss for _, loss in resumed["losses"]] == pytest.approx([x for _, x in undisturbed.losses], rel=1e-3)
    assert dict(resumed["perplexities"]) == pytest.approx(dict(undisturbed.perplexities), rel=1e-3)
    assert resumed["losses"][-1][1] < resumed["losses"][0][1]


def test_a_finished_training_is_told_again_and_not_done_again(
    refuse: Refuse, killed_and_resumed: Path, run: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = (killed_and_resumed / "model.safetensors").stat().st_mtime_ns
    given = ["--run", run, "--model", model, "--out", str(killed_and_resumed), *TRAINING]
    assert main(["finetune", *given]) == 0
    assert "12 steps" in capsys.readouterr().out
    assert (killed_and_resumed / "model.safetensors").stat().st_mtime_ns == weights
    assert "other settings" in refuse("finetune", *given, "--seed", "1")


def test_the_result_is_a_plain_folder_with_its_provenance(killed_and_resumed: Path, run: str) -> None:
    tuned = killed_and_resumed
    assert AutoModelForCausalLM.from_pretrained(tuned).config.use_cache
    assert AutoTokenizer.from_pretrained(tuned).bos_token
    assert TextTokenizer.load(str(tuned)).start_marker_ids
    assert load_file(tuned / "model.safetensors")
    assert json.loads((tuned / "toolformer.json").read_text()) == {"tools": ["Calculator"]}
    card = (tuned / "README.md").read_text()
    assert run in card and "| Calculator | 540 |" in card
    assert not list(tuned.glob("*.bin"))
