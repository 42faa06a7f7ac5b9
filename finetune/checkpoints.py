"""The checkpoints of a training, in `<out>/checkpoints`: from which one it can go on, and how one becomes the result.

A checkpoint holds the model as any Hugging Face folder does, beside what the training needs to go on.
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
    """A checkpoint that was written to its end."""

    path: Path
    state: TrainerState
    """The training up to there: its step, what was logged, which checkpoint was the best."""


def checkpoint_path(out: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return out / CHECKPOINTS / f"checkpoint-{step}"


def last_whole_checkpoint(out: Path) -> Checkpoint | None:
    """The newest that was written to its end; None if there is none.

    The state is written last, and not at once: what a kill leaves of a checkpoint has none, or a part of one.
    """
    steps = [path.name.rpartition("-")[2] for path in (out / CHECKPOINTS).glob("checkpoint-*")]
    for step in sorted((int(step) for step in steps if step.isdecimal()), reverse=True):
        path = checkpoint_path(out, step)
        try:
            state = TrainerState.load_from_json(str(path / TRAINER_STATE_NAME))
        # Absent, cut, or JSON of something else.
        except (FileNotFoundError, ValueError, TypeError):
            continue
        if state.global_step == step:
            return Checkpoint(path, state)
    return None


def make_result(out: Path, state: TrainerState) -> None:
    """Make the model of the best checkpoint the one in `out`; of the last one, if nothing was measured.

    Files are copied, nothing is loaded: that is as quick as the disk, for any size and however the training is spread.
    """
    best = checkpoint_path(out, state.best_global_step or state.global_step)
    for pattern in ("*.safetensors", "*.safetensors.index.json", GENERATION_CONFIG_NAME):
        for file in best.glob(pattern):
            shutil.copyfile(file, out / file.name)
    config = AutoConfig.from_pretrained(best, trust_remote_code=False)
    config.use_cache = True
    config.save_pretrained(out)
