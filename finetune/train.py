"""Fine-tuning on C* in one worker: a Hugging Face Trainer, with DeepSpeed if asked for (paper, section 2).

Needs no Ray: the caller has set up the process group of the workers. Reads the chosen texts, writes
checkpoints into `<out>/checkpoints`, progress for TensorBoard into `<out>/logs`, and the best model into `<out>`.
"""

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoTokenizer, Trainer, TrainingArguments, set_seed

from toolformer_ray.finetune.checkpoints import CHECKPOINTS, last_whole_checkpoint, make_result
from toolformer_ray.finetune.options import TrainOptions
from toolformer_ray.finetune.packing import PackedRows, keeps_texts_apart, pack
from toolformer_ray.finetune.perplexity import perplexity, row_losses
from toolformer_ray.finetune.progress import ProgressFile
from toolformer_ray.finetune.texts_file import TrainingTexts
from toolformer_ray.finetune.tokens import TokenisedText
from toolformer_ray.lm.files import load_network
from toolformer_ray.lm.sources import tokenizer_arguments
from toolformer_ray.lm.tokenizer import TextTokenizer

LOGS = "logs"


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The course of a training."""

    losses: Sequence[tuple[int, float]]
    """(step, mean loss in nats per token), as they were logged."""
    perplexities: Sequence[tuple[int, float]]
    """(step, perplexity of the held-out texts, calls disabled)."""
    best_step: int | None
    """The step whose weights are the result; None if nothing was evaluated, so that it is the last one."""


def train(options: TrainOptions, texts: TrainingTexts, *, num_workers: int, use_gpu: bool) -> TrainingResult:
    """Train as one of the workers, from the last checkpoint if there is one. Rank 0 writes the result."""
    out = Path(options.out)
    last = last_whole_checkpoint(out)
    if last and last.state.global_step >= options.max_steps:
        # Training ended before its result was written. The Trainer would do one step more if it resumed here.
        state = last.state
    else:
        trainer = _trainer(options, texts, num_workers=num_workers, use_gpu=use_gpu)
        trainer.train(resume_from_checkpoint=str(last.path) if last else None)
        state = trainer.state
    if os.environ.get("RANK", "0") == "0":
        make_result(out, state)
        AutoTokenizer.from_pretrained(**tokenizer_arguments(options.model), trust_remote_code=False).save_pretrained(
            out
        )
    log = state.log_history
    return TrainingResult(
        losses=[(int(entry["step"]), entry["loss"]) for entry in log if "loss" in entry],
        perplexities=[(int(entry["step"]), entry["eval_perplexity"]) for entry in log if "eval_perplexity" in entry],
        best_step=state.best_global_step,
    )


def _trainer(options: TrainOptions, texts: TrainingTexts, *, num_workers: int, use_gpu: bool) -> Trainer:
    set_seed(options.seed)
    if not options.without_deepspeed and not use_gpu:
        _spare_the_compiler()
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(Path(options.out) / LOGS)
    # Before TrainingArguments activate ZeRO 3, under which transformers would shard the weights while it loads them.
    model = load_network(options.model, device="cpu", dtype="float32")
    # With a key-value cache, transformers would not tell the texts of a packed row apart.
    model.config.use_cache = False
    shares_rows = keeps_texts_apart(model, max((text.ids for text in texts.texts), key=len))
    rows = functools.partial(_rows, max_length=options.max_length, shares_rows=shares_rows)
    bracket_ids = sorted(TextTokenizer.load(options.model).bracket_ids)
    return Trainer(
        model=model,
        args=_arguments(options, num_workers=num_workers, use_gpu=use_gpu, evaluates=bool(texts.held_out)),
        train_dataset=rows(texts.texts, masks_results=options.masks_results),
        eval_dataset=rows(texts.held_out, masks_results=False) if texts.held_out else None,
        compute_metrics=perplexity,
        preprocess_logits_for_metrics=functools.partial(row_losses, bracket_ids=bracket_ids),
        callbacks=[ProgressFile(Path(options.out), shares_rows=shares_rows)],
    )


def _spare_the_compiler() -> None:
    """Keep DeepSpeed from compiling its own all-reduce for CPUs, which takes a minute or more; gloo has one."""
    import deepspeed  # type: ignore[import-untyped]

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _arguments(options: TrainOptions, *, num_workers: int, use_gpu: bool, evaluates: bool) -> TrainingArguments:
    evaluation: dict[str, Any] = {}
    if evaluates:
        # By its metric the Trainer knows the best checkpoint, which it then never deletes.
        evaluation = {"eval_strategy": "steps", "eval_steps": options.evaluate_every}
        evaluation |= {"metric_for_best_model": "perplexity", "greater_is_better": False}
    return TrainingArguments(
        output_dir=str(Path(options.out) / CHECKPOINTS),
        save_strategy="steps",
        save_steps=options.evaluate_every,
        max_steps=options.max_steps,
        per_device_train_batch_size=options.rows_at_once,
        per_device_eval_batch_size=options.rows_at_once,
        gradient_accumulation_steps=options.gradient_accumulation_steps(num_workers),
        learning_rate=options.learning_rate,
        lr_scheduler_type={"none": "constant_with_warmup", "linear": "linear"}[options.decay],
        warmup_steps=math.ceil(options.warmup_share * options.max_steps),
        bf16=options.dtype == "bfloat16",
        activation_checkpointing=options.recomputes,
        deepspeed=options.deepspeed_config(),
        use_cpu=not use_gpu,
        seed=options.seed,
        logging_steps=max(1, options.max_steps // 200),
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        save_total_limit=2,
        remove_unused_columns=False,
        dataloader_pin_memory=use_gpu,
        disable_tqdm=True,
        **evaluation,
    )


def _rows(
    texts: Sequence[TokenisedText], *, max_length: int, shares_rows: bool, masks_results: bool
) -> Dataset[dict[str, Tensor]]:
    lengths = [len(text.ids) for text in texts]
    if shares_rows:
        return PackedRows(texts, pack(lengths, max_length), max_length, masks_results)
    return PackedRows(texts, [[number] for number in range(len(texts))], max(lengths), masks_results)
