"""Training by a real Trainer, with and without DeepSpeed, by one worker and several: the same course of the loss."""

import dataclasses
import json
import math
import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch
from transformers import OPTConfig

from finetune.options import TrainOptions
from finetune.perplexity import row_losses
from finetune.progress import read_progress
from finetune.tokens import TokenisedText
from finetune.train import TrainingTexts, last_whole_checkpoint, train
from lm.tokenizer import TextTokenizer
from tests.models import build_config_model, build_model, build_tokenizer, save_model

TOKENIZER = TextTokenizer(build_tokenizer())
SENTENCES = [f"The mill ground {400 + 7 * n} sacks, {n} more than in May." for n in range(40)]
TEXTS = [TokenisedText(ids=(ids := [0, *TOKENIZER.encode(s), 0]), is_result=[False] * len(ids)) for s in SENTENCES]
LEARNED, HELD_OUT = TEXTS[:36], TEXTS[36:]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_model(tmp_path_factory.mktemp("model"))


def _options(model: str, out: Path, **changed) -> TrainOptions:
    plain = TrainOptions(
        model=model,
        out=str(out),
        max_steps=6,
        batch_size=4,
        rows_at_once=2,
        max_length=96,
        learning_rate=1e-2,
        evaluate_every=3,
        dtype="float32",
        without_deepspeed=True,
    )
    return dataclasses.replace(plain, **changed)


def _work(rank: int, num_workers: int, port: int, options: TrainOptions) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_workers)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    texts = TrainingTexts(texts=LEARNED, held_out=HELD_OUT)
    result = train(options, texts, num_workers=num_workers, use_gpu=False)
    if rank == 0:
        (Path(options.out) / "result.json").write_text(json.dumps(dataclasses.asdict(result)))


def _course(options: TrainOptions, num_workers: int = 1) -> dict:
    """The result of training in processes of its own, as many as there are workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Its server imports the libraries once, which takes longer than the training, and the workers are forks of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deepspeed", "finetune.train"])
    workers = [context.Process(target=_work, args=(rank, num_workers, port, options)) for rank in range(num_workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * num_workers
    return json.loads((Path(options.out) / "result.json").read_text())


@pytest.fixture(scope="module")
def alone(model: str, tmp_path_factory) -> dict:
    """One worker, without DeepSpeed."""
    return _course(_options(model, tmp_path_factory.mktemp("alone")))


@pytest.mark.paper("N3")
def test_the_loss_falls_and_the_best_checkpoint_is_the_result(alone: dict) -> None:
    losses = [loss for _, loss in alone["losses"]]
    assert losses[-1] < losses[0] - 0.5
    assert [step for step, _ in alone["perplexities"]] == [3, 6]
    assert alone["best_step"] == min(alone["perplexities"], key=lambda pair: pair[1])[0]


def _batch(text: TokenisedText) -> torch.Tensor:
    return torch.tensor([text.ids])


@pytest.mark.parametrize("shares_rows", [True, False], ids=["llama", "opt"])
def test_a_text_is_read_as_if_alone_by_models_that_keep_texts_of_a_row_apart_and_by_those_that_do_not(
    shares_rows: bool, tmp_path: Path
) -> None:
    network = build_model("llama") if shares_rows else build_config_model(OPTConfig(ffn_dim=64, word_embed_proj_dim=32))
    network.save_pretrained(tmp_path / "model")
    build_tokenizer().save_pretrained(tmp_path / "model")
    options = _options(
        str(tmp_path / "model"), tmp_path / "out", max_steps=1, evaluate_every=1, max_length=200, learning_rate=1e-12
    )
    measured = train(options, TrainingTexts(texts=LEARNED, held_out=HELD_OUT), num_workers=1, use_gpu=False)
    alone = [row_losses(network(ids).logits, ids, sorted(TOKENIZER.bracket_ids))[0] for ids in map(_batch, HELD_OUT)]
    loss, num_tokens = torch.stack(alone).sum(dim=0).tolist()
    assert [value for _, value in measured.perplexities] == pytest.approx([math.exp(loss / num_tokens)], rel=1e-4)
    assert read_progress(tmp_path / "out").shares_rows == shares_rows


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_zero_with_two_workers_has_the_loss_curve_of_one_worker_without(
    zero_stage: int, alone: dict, model: str, tmp_path
) -> None:
    shared = _course(_options(model, tmp_path, zero_stage=zero_stage, rows_at_once=1, without_deepspeed=False), 2)
    assert [step for step, _ in shared["losses"]] == [step for step, _ in alone["losses"]]
    for name in ("losses", "perplexities"):
        assert [v for _, v in shared[name]] == pytest.approx([v for _, v in alone[name]], rel=1e-4)


def test_of_checkpoints_the_last_whole_one_is_gone_on_from(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path) is None
    for step in (8, 12, 4, 100):
        (tmp_path / f"checkpoints/checkpoint-{step}").mkdir(parents=True)
    for step in (8, 12, 4):
        (tmp_path / f"checkpoints/checkpoint-{step}/trainer_state.json").write_text("{}")
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoints/checkpoint-12")
