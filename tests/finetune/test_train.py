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
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer, OPTConfig, TrainerState

from tests.support.models import build_config_model, build_model, build_tokenizer, save_model
from toolformer_ray.finetune.checkpoints import checkpoint_path, last_whole_checkpoint
from toolformer_ray.finetune.options import TrainOptions
from toolformer_ray.finetune.perplexity import row_losses
from toolformer_ray.finetune.progress import read_progress
from toolformer_ray.finetune.texts_file import TrainingTexts
from toolformer_ray.finetune.tokens import TokenisedText
from toolformer_ray.finetune.train import train
from toolformer_ray.lm.tokenizer import TextTokenizer

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
    context.set_forkserver_preload(["deepspeed", "toolformer_ray.finetune.train"])
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
    alone = [
        row_losses(network(ids).logits, ids, sorted(TOKENIZER.bracket_ids))[0]
        for ids in (torch.tensor([text.ids]) for text in HELD_OUT)
    ]
    loss, num_tokens = torch.stack(alone).sum(dim=0).tolist()
    assert [value for _, value in measured.perplexities] == pytest.approx([math.exp(loss / num_tokens)], rel=1e-4)
    assert read_progress(tmp_path / "out").shares_rows == shares_rows


@pytest.mark.parametrize(
    "spread",
    [
        {"zero_stage": 0, "recomputes": True},
        {"zero_stage": 1},
        {"zero_stage": 2, "offload": "optimizer"},
        {"zero_stage": 3},
        {"zero_stage": 3, "offload": "all"},
    ],
    ids=str,
)
def test_zero_with_two_workers_has_the_loss_curve_of_one_worker_without(
    spread: dict, alone: dict, model: str, tmp_path
) -> None:
    shared = _course(_options(model, tmp_path, rows_at_once=1, without_deepspeed=False, **spread), 2)
    assert [step for step, _ in shared["losses"]] == [step for step, _ in alone["losses"]]
    for name in ("losses", "perplexities"):
        assert [v for _, v in shared[name]] == pytest.approx([v for _, v in alone[name]], rel=1e-4)


@pytest.fixture(scope="module")
def by_default(model: str, tmp_path_factory) -> tuple[TrainOptions, dict]:
    """One worker, with what users get who choose nothing: bfloat16 and ZeRO 3."""
    size = {"max_steps": 5, "batch_size": 4, "rows_at_once": 2, "max_length": 96, "evaluate_every": 3}
    options = TrainOptions(model=model, out=str(tmp_path_factory.mktemp("out")), learning_rate=1e-2, **size)
    return options, _course(options)


def test_the_defaults_learn_what_float32_without_deepspeed_learns(by_default: tuple[TrainOptions, dict], alone) -> None:
    options, course = by_default
    assert (options.dtype, options.zero_stage, options.without_deepspeed) == ("bfloat16", 3, False)
    assert [step for step, _ in course["losses"]] == [1, 2, 3, 4, 5]
    assert [loss for _, loss in course["losses"]] == pytest.approx([loss for _, loss in alone["losses"][:5]], rel=0.01)
    assert course["losses"] != alone["losses"][:5]
    assert AutoModelForCausalLM.from_pretrained(options.out, dtype="auto").dtype == torch.bfloat16


def test_tensorboard_shows_the_losses(by_default: tuple[TrainOptions, dict]) -> None:
    options, course = by_default
    events = EventAccumulator(str(Path(options.out) / "logs")).Reload()
    shown = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}
    for name, told in (("train/loss", course["losses"]), ("eval/perplexity", course["perplexities"])):
        assert [list(point) for point in shown[name]] == [pytest.approx(point) for point in told]


def _forget_result(options: TrainOptions) -> dict[str, torch.Tensor]:
    """Leave what a training leaves that is killed behind its last step; returns the weights that are taken away."""
    out = Path(options.out)
    weights = load_file(out / "model.safetensors")
    for name in ("result.json", "model.safetensors", "config.json", "tokenizer.json"):
        (out / name).unlink()
    return weights


def _assert_equal(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert some.keys() == others.keys()
    assert [name for name in some if not torch.equal(some[name], others[name])] == []


def test_a_training_that_was_killed_behind_its_last_step_is_not_trained_any_further(
    by_default: tuple[TrainOptions, dict],
) -> None:
    options, course = by_default
    out = Path(options.out)
    weights = _forget_result(options)
    assert _course(options) == course
    _assert_equal(load_file(out / "model.safetensors"), weights)
    assert AutoModelForCausalLM.from_pretrained(out).config.use_cache
    assert AutoTokenizer.from_pretrained(out).bos_token
    assert sorted(path.name for path in out.glob("checkpoints/*")) == ["checkpoint-3", "checkpoint-5"]


def test_a_checkpoint_whose_state_was_cut_is_made_again_from_the_one_before(
    by_default: tuple[TrainOptions, dict],
) -> None:
    options, course = by_default
    out = Path(options.out)
    weights = _forget_result(options)
    state = out / "checkpoints/checkpoint-5/trainer_state.json"
    state.write_text(state.read_text()[:100])
    assert _course(options) == course
    _assert_equal(load_file(out / "model.safetensors"), weights)


def test_the_best_checkpoint_is_the_result_where_the_last_is_worse(model: str, tmp_path: Path) -> None:
    # The more the model learns of the sacks, the less it expects of anything else.
    ids = TOKENIZER.encode("[QA(When?)] Output: bridge, flood, river, town")
    other = TokenisedText(ids=ids, is_result=[False] * len(ids))
    options = _options(model, tmp_path, evaluate_every=2, learning_rate=3e-2)
    result = train(options, TrainingTexts(texts=LEARNED, held_out=[other]), num_workers=1, use_gpu=False)
    [(_, first), (_, second), (_, last)] = result.perplexities
    assert first < min(second, last)
    assert result.best_step == 2
    weights = load_file(tmp_path / "model.safetensors")
    _assert_equal(weights, load_file(tmp_path / "checkpoints/checkpoint-2/model.safetensors"))
    embeddings = "model.embed_tokens.weight"
    last_weights = load_file(tmp_path / "checkpoints/checkpoint-6/model.safetensors")
    assert not torch.equal(weights[embeddings], last_weights[embeddings])


def test_without_held_out_texts_the_last_weights_are_the_result(model: str, tmp_path: Path) -> None:
    options = _options(model, tmp_path, max_steps=2, evaluate_every=1)
    result = train(options, TrainingTexts(texts=LEARNED, held_out=[]), num_workers=1, use_gpu=False)
    assert (result.perplexities, result.best_step) == ([], None)
    last = load_file(tmp_path / "checkpoints/checkpoint-2/model.safetensors")
    _assert_equal(load_file(tmp_path / "model.safetensors"), last)


def test_of_checkpoints_the_last_whole_one_is_gone_on_from(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path) is None
    for step, state in ((8, 8), (100, None), (12, 12), (4, 4), (20, 12)):
        checkpoint_path(tmp_path, step).mkdir(parents=True)
        if state:
            TrainerState(global_step=state).save_to_json(str(checkpoint_path(tmp_path, step) / "trainer_state.json"))
    last = last_whole_checkpoint(tmp_path)
    assert last is not None
    assert last.path == tmp_path / "checkpoints/checkpoint-12"
    for written in ("", "{", "[1]", '{"no": "state"}', "{}"):
        (last.path / "trainer_state.json").write_text(written)
        older = last_whole_checkpoint(tmp_path)
        assert older is not None
        assert older.path == tmp_path / "checkpoints/checkpoint-8"
