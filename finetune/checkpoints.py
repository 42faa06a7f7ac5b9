"""The checkpoints of a training, in `<out>/checkpoints`: which one it resumes from, and how one becomes the result.

A checkpoint is a Hugging Face model folder with the optimizer's and the Trainer's state beside the model.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig, TrainerState
from transformers.trainer import TRAINER_STATE_NAME
from transformers.utils import GENERATION_CONFIG_NAME

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    path: Path
    state: TrainerState
    """The training so far: its step, what was logged, which checkpoint was the best."""


def checkpoint_path(out: Path, step: int) -> Path:
    """The folder of the checkpoint of a step."""
    return out / CHECKPOINTS / f"checkpoint-{step}"


def last_whole_checkpoint(out: Path) -> Checkpoint | None:
    """The newest complete checkpoint; None if there is none.

    The Trainer writes its state last, and not atomically: a checkpoint that a kill cut short has none, or a part of it.
    """
    steps = [path.name.rpartition("-")[2] for path in (out / CHECKPOINTS).glob("checkpoint-*")]
    for step in sorted((int(step) for step in steps if step.isdecimal()), reverse=True):
        path = checkpoint_path(out, step)
        try:
            state = TrainerState.load_from_json(str(path / TRAINER_STATE_NAME))
        # It is absent, cut short, or JSON of something else.
        except (FileNotFoundError, ValueError, TypeError):
            continue
        if state.global_step == step:
            return Checkpoint(path, state)
    return None


def make_result(out: Path, state: TrainerState) -> None:
    """Make the model of the best checkpoint the one in `out`; of the last one, if nothing was evaluated.

    Files are copied and nothing is loaded, so it takes as long as the disk does, however large or sharded the model is.
    """
    best = checkpoint_path(out, state.best_global_step or state.global_step)
    for pattern in ("*.safetensors", "*.safetensors.index.json", GENERATION_CONFIG_NAME):
        for file in best.glob(pattern):
            shutil.copyfile(file, out / file.name)
    config = AutoConfig.from_pretrained(best, trust_remote_code=False)
    config.use_cache = True
    config.save_pretrained(out)
