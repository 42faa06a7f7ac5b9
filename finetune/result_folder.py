"""The folder of a fine-tuning, checked before anything is written there.

Training fills it with weights, tokenizer, README, checkpoints and progress, which would overwrite files of these names.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from toolformer_ray.finetune.options import TrainOptions
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.run_folder import RunFolder

TEXTS_FILE, STATE_FILE, RESULT_FILE = "texts.parquet", "finetune.json", "result.json"
_LEFT_BY_AN_INTERRUPTED_START = {TEXTS_FILE, f".{TEXTS_FILE}.tmp", f".{STATE_FILE}.tmp"}
_NUM_NAMED = 3


def refuse_foreign_folder(options: TrainOptions, runs: Sequence[str]) -> None:
    """Raise OptionError if `out` is the model, a run, or holds something else than a fine-tuning."""
    out = Path(options.out).resolve()
    # A model's name on the Hub counts too: from then on it would be taken for the folder of that name.
    if out == Path(options.model).resolve():
        raise OptionError("out", options.out, "that is the `model`, which would be overwritten: give another folder")
    for run in map(RunFolder, runs):
        if "://" not in run.location and out == Path(run.root).resolve():
            raise OptionError("out", options.out, "that is a `run`, which would be overwritten: give another folder")
    if not out.exists():
        return
    if not out.is_dir():
        raise OptionError("out", options.out, "a file has that name: give a folder")
    names = {path.name for path in out.iterdir()}
    foreign = sorted(names - _LEFT_BY_AN_INTERRUPTED_START)
    if foreign and STATE_FILE not in names:
        named = ", ".join(foreign[:_NUM_NAMED]) + (", …" if len(foreign) > _NUM_NAMED else "")
        remedy = (
            f"it holds files but no fine-tuning ({named}), and they might be overwritten: give a new or empty folder"
        )
        raise OptionError("out", options.out, remedy)


def refuse_other_fine_tuning(options: TrainOptions, identity: str) -> None:
    """Raise OptionError unless the fine-tuning in `out` is the one of that identity."""
    try:
        is_same = json.loads((Path(options.out) / STATE_FILE).read_bytes())["fingerprint"] == identity
    except (ValueError, KeyError, TypeError) as error:
        remedy = f"its {STATE_FILE} is not one that a fine-tuning has written: give another folder"
        raise OptionError("out", options.out, remedy) from error
    if not is_same:
        remedy = (
            "it holds a fine-tuning with other settings, of another model or of runs that have changed since: "
            "give another folder"
        )
        raise OptionError("out", options.out, remedy)
