"""The progress of a training: a file in the result's folder, which the process that started the workers reads."""

# ruff: noqa: ARG002 - the Trainer decides what its callbacks are passed
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from toolformer_ray.records.whole_json import write_json

PROGRESS_FILE = "progress.json"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A training at its last logged step."""

    step: int
    loss: float
    """Nats per token."""
    seconds_per_step: float
    """Mean since this training began or was resumed."""
    shares_rows: bool = True
    """Whether short texts are packed into shared rows; False if the model does not keep them apart."""


class ProgressFile(TrainerCallback):
    """Writes the file with each logged loss, on rank 0."""

    def __init__(self, out: Path, *, shares_rows: bool) -> None:
        self._out, self._shares_rows = out, shares_rows
        self._started, self._first_step = time.monotonic(), 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start measuring the seconds per step."""
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        """Write the file, if a loss was logged."""
        logs = values["logs"]
        if state.is_world_process_zero and "loss" in logs:
            progress = Progress(
                step=state.global_step,
                loss=logs["loss"],
                seconds_per_step=(time.monotonic() - self._started) / max(1, state.global_step - self._first_step),
                shares_rows=self._shares_rows,
            )
            write_json(self._out / PROGRESS_FILE, asdict(progress))


def read_progress(out: Path) -> Progress | None:
    """The progress that was written last; None if none was."""
    try:
        return Progress(**json.loads((out / PROGRESS_FILE).read_bytes()))
    except FileNotFoundError:
        return None
