"""How far a training is: a file in the folder of the result, at which whoever started it can look, wherever it runs."""

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
    """Nats a token."""
    seconds_per_step: float
    """Since this training, or this part of it after a resume, began."""
    shares_rows: bool = True
    """Whether short texts share a row; False if the model does not keep them apart there."""


class ProgressFile(TrainerCallback):
    """Writes the file with each logged loss; the first worker does."""

    def __init__(self, out: Path, *, shares_rows: bool) -> None:
        self._out, self._shares_rows = out, shares_rows
        self._started, self._first_step = time.monotonic(), 0

    def on_train_begin(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the interface
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **_: Any,
    ) -> None:
        """Count from here."""
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the interface
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Say where it is."""
        if state.is_world_process_zero and logs and "loss" in logs:
            seconds = (time.monotonic() - self._started) / max(1, state.global_step - self._first_step)
            progress = Progress(
                step=state.global_step,
                loss=logs["loss"],
                seconds_per_step=seconds,
                shares_rows=self._shares_rows,
            )
            write_json(self._out / PROGRESS_FILE, asdict(progress))


def read_progress(out: Path) -> Progress | None:
    """The last that was written; None if nothing was."""
    try:
        return Progress(**json.loads((out / PROGRESS_FILE).read_bytes()))
    except FileNotFoundError:
        return None
