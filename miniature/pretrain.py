"""Trains the miniature model from scratch: `python -m toolformer_ray.miniature.pretrain --out miniature/model`.

Writes a Hugging Face folder (safetensors, tokenizer) and `training.jsonl`, the log of the run. The learning rate is
constant after a short warm-up and falls linearly to zero over the last fifth of the steps, so a run can be extended.
"""

import collections
import itertools
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import cyclopts
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from toolformer_ray.miniature.pretraining_texts import StoryTeller
from toolformer_ray.miniature.tokenizer import train_tokenizer

LOG_EVERY = 50
SAVE_EVERY = 250
IGNORED = -100
ECHO_TOKENS = 256


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """How the miniature model is trained."""

    out: Path
    """Folder for the model; with --resume also where the last state is read from."""
    steps: int = 3_000
    """Optimizer steps in all."""
    stories: int = 16
    """Stories a step, each a row of its own."""
    sheets: int = 2
    """Annotation sheets a step, each a row of `window` tokens."""
    echoes: int = 6
    """Rows of random tokens a step, said again and again: what a small model learns to copy from soonest."""
    window: int = 1_024
    """The longest sequence of the model, in tokens."""
    learning_rate: float = 3e-3
    """Peak learning rate."""
    seed: int = 1
    """Seed of the texts and of the initial weights."""
    threads: int = 2
    """CPU threads."""
    resume: bool = False
    """Go on from the state in `out`."""


def main(options: PretrainOptions) -> None:
    """Train, log and save."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = _load_or_train_tokenizer(options)
    model = LlamaForCausalLM(_configuration(len(tokenizer), options.window))
    optimizers = _optimizers(model, options.learning_rate)
    state = _load_state(options.out, model, optimizers) if options.resume else {"step": 0, "tokens": 0}
    # A resumed run reads new texts: the seed of the stories moves with the step.
    teller = StoryTeller(options.seed + 1_000_003 * state["step"])
    readings = {
        "stories": story_batches(teller, tokenizer, options),
        "sheets": sheet_batches(teller, tokenizer, options),
        "echoes": echo_batches(tokenizer, options, seed=options.seed + state["step"]),
    }
    with (options.out / "training.jsonl").open("a" if options.resume else "w") as log:
        tracker = _Tracker(log, state["tokens"])
        for step in range(state["step"], options.steps):
            rate = learning_rate(step, options.steps, options.learning_rate)
            for group in itertools.chain(*(optimizer.param_groups for optimizer in optimizers)):
                group["lr"] = rate
            for kind, batches in readings.items():
                batch = next(batches)
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = model(**batch, use_cache=False).loss
                (loss / len(readings)).backward()
                tracker.add(kind, loss.item(), int((batch["labels"] != IGNORED).sum()))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            if (step + 1) % LOG_EVERY == 0:
                tracker.write(step + 1)
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == options.steps:
                _save(options, model, tokenizer, optimizers, {"step": step + 1, "tokens": tracker.tokens})


class _Tracker:
    """Mean losses since the last line of the log, one JSON object a line."""

    def __init__(self, log: TextIO, tokens: int) -> None:
        self._log = log
        self._began = time.monotonic()
        self._losses: dict[str, list[float]] = collections.defaultdict(list)
        self.tokens = tokens

    def add(self, kind: str, loss: float, num_tokens: int) -> None:
        self._losses[kind].append(loss)
        self.tokens += num_tokens

    def write(self, step: int) -> None:
        means = {f"loss_{kind}": round(statistics.fmean(losses), 4) for kind, losses in self._losses.items()}
        entry = {"step": step, "tokens": self.tokens, **means, "seconds": round(time.monotonic() - self._began)}
        print(json.dumps(entry), file=self._log, flush=True)
        self._losses.clear()


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over 100 steps, constant, linear to zero over the last fifth."""
    return peak * min(1.0, (step + 1) / 100, (steps - step) / max(1, steps // 5))


def story_batches(
    teller: StoryTeller, tokenizer: PreTrainedTokenizerFast, options: PretrainOptions
) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of stories of like length, each behind the BOS token, padded to the right with ignored labels."""
    bos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id
    while True:
        texts = [teller.text() for _ in range(options.stories * 8)]
        rows = sorted(([bos, *ids] for ids in tokenizer(texts, add_special_tokens=False).input_ids), key=len)
        batches = [rows[first : first + options.stories] for first in range(0, len(rows), options.stories)]
        for batch in teller.shuffled(batches):
            longest = len(batch[-1])
            padded_BT = torch.tensor([row + [pad] * (longest - len(row)) for row in batch])
            labels_BT = torch.tensor([row + [IGNORED] * (longest - len(row)) for row in batch])
            yield {"input_ids": padded_BT, "labels": labels_BT}


def sheet_batches(
    teller: StoryTeller, tokenizer: PreTrainedTokenizerFast, options: PretrainOptions
) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of sheets of exactly `window` ids. Each piece is encoded by itself, as the prompt will be."""
    while True:
        rows = []
        for _ in range(options.sheets):
            row, pieces = [tokenizer.bos_token_id], teller.sheet()
            while len(row) < options.window:
                row += tokenizer.encode(next(pieces), add_special_tokens=False)
            rows.append(row[: options.window])
        batch_BT = torch.tensor(rows)
        yield {"input_ids": batch_BT, "labels": batch_BT}


def echo_batches(
    tokenizer: PreTrainedTokenizerFast, options: PretrainOptions, *, seed: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Rows of ECHO_TOKENS ids that repeat a random sequence of 16 to 128; its first time is no label."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        rows, labels = [], []
        for _ in range(options.echoes):
            length = int(torch.randint(16, 129, (1,), generator=generator))
            once = torch.randint(tokenizer.eos_token_id + 1, len(tokenizer), (length,), generator=generator).tolist()
            row = [tokenizer.bos_token_id, *(once * ECHO_TOKENS)][:ECHO_TOKENS]
            rows.append(row)
            labels.append([IGNORED] * (length + 1) + row[length + 1 :])
        yield {"input_ids": torch.tensor(rows), "labels": torch.tensor(labels)}


def _load_or_train_tokenizer(options: PretrainOptions) -> PreTrainedTokenizerFast:
    if options.resume:
        return PreTrainedTokenizerFast.from_pretrained(options.out)
    teller = StoryTeller(options.seed - 1)
    texts = [teller.text() for _ in range(20_000)]
    for _ in range(300):
        texts += itertools.islice(teller.sheet(), 12)
    return train_tokenizer(texts)


def _configuration(vocabulary_size: int, window: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=window,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
    )


def _optimizers(model: LlamaForCausalLM, peak: float) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, which learn to copy in fewer tokens by it; AdamW for embeddings and norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=peak, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=peak, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def _save(
    options: PretrainOptions,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    optimizers: list[torch.optim.Optimizer],
    progress: dict[str, int],
) -> None:
    optimizer_states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save(progress | {"model": model.state_dict(), "optimizers": optimizer_states}, options.out / "state.pt.part")
    (options.out / "state.pt.part").rename(options.out / "state.pt")
    # Half precision halves the size in the repository; the model is read back as float32.
    half = LlamaForCausalLM(model.config)
    half.load_state_dict(model.state_dict())
    half.bfloat16().save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    described = {key: value for key, value in vars(options).items() if key != "out"}
    described |= {"trained_steps": progress["step"], "trained_tokens": progress["tokens"]}
    (options.out / "pretraining.json").write_text(json.dumps(described, indent=2) + "\n")


def _load_state(folder: Path, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer]) -> dict[str, int]:
    state = torch.load(folder / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, optimizer_state in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(optimizer_state)
    return {"step": state["step"], "tokens": state["tokens"]}


if __name__ == "__main__":
    cyclopts.run(main)
