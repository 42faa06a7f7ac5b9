"""A run of three texts with calls of three tools, and one without calls, exported as conversations."""

from pathlib import Path

import datasets

from tests.support.many_texts import SETTINGS, write_texts
from toolformer_ray.finetune.choose import ChooseOptions
from toolformer_ray.finetune.export.options import ExportOptions
from toolformer_ray.finetune.export.write import export

SUM = ("Calculator", "1 + 1", "2", 1.5)
WORD = ("MT", '"deux"', "zwei", 1.5, " here")
DAY = ("Calendar", "", "Today is Monday, June 5, 2017.", 1.5)
TEXTS = {"Mira": [SUM, WORD], "Otto": [DAY], "Lena": [SUM], "Nobody": []}
DOCUMENTS = {name: f"{name} is here." for name in TEXTS}


def export_conversations(folder: Path, name: str, **options) -> list[dict]:
    """Export, and read the rows as `datasets` does."""
    folder.mkdir(exist_ok=True)
    settings = {**SETTINGS, "tools": ["calculator", "calendar", "translation"], "calendar.min-loss-reduction": 1.0}
    run = write_texts(str(folder / "run"), TEXTS, settings)
    choice = ChooseOptions(run=(run,), plain_share=0.25, num_held_out=0)
    exported = export(choice, ExportOptions(out=str(folder / name), **options))
    assert (exported.num_rows, exported.num_without_calls) == (4, 1)
    reader = "parquet" if name.endswith(".parquet") else "json"
    cache = str(folder / "cache")
    return list(datasets.load_dataset(reader, data_files=str(folder / name), split="train", cache_dir=cache))
