"""LoRA adapters: which model they belong to, what is refused, and merging them into its weights with peft."""

import contextlib
import importlib.util
import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import safe_open

from toolformer_ray.records.errors import UnusableError, explain

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS, "adapter_model.bin")
_MERGE = "PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(FOLDER)"


def is_adapter(name_or_path: str) -> bool:
    """Whether this folder has an adapter, alone or beside whole weights; transformers would pass over the latter."""
    return any((Path(name_or_path) / name).is_file() for name in _FILES)


def base_model(name_or_path: str) -> str:
    """The model that an adapter is merged into: the weights beside it, else the one that it names.

    What is no adapter is its own base. Raises ValueError, one line, if the adapter cannot be merged here.
    """
    folder = Path(name_or_path)
    if not is_adapter(name_or_path):
        return name_or_path
    found = next(name for name in _FILES if (folder / name).is_file())
    is_alone = not (folder / "config.json").is_file()
    if importlib.util.find_spec("peft") is None:
        described = "is an adapter, no whole model" if is_alone else "has an adapter beside its own weights"
        raise UnusableError(
            f"model {name_or_path!r} {described} ({found}), which is merged with the package peft, and that is not "
            f"installed; install it: pip install 'toolformer-ray[adapters]', or merge it elsewhere: {_MERGE}, and give "
            "that FOLDER"
        )
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"adapter {name_or_path!r} has {found} and no {name}; give the folder that peft's save_pretrained "
                "wrote, with safetensors weights"
            )
    return _named_base(folder) if is_alone else name_or_path


def merge_adapter(model: Any, folder: str) -> Any:
    """The model, a transformers `PreTrainedModel`, with the adapter's changes added to its weights.

    Raises ValueError, one line, if the adapter belongs to another model or is of a kind that cannot be merged.
    """
    from peft import PeftModel

    own = {name for name, _ in model.named_parameters()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # What peft only warns of is refused below.
            adapted = PeftModel.from_pretrained(model, folder)
            stray = _stray_weights(adapted, folder)
            merged = adapted.merge_and_unload()
    except Exception as error:  # peft and torch raise whatever first finds out that the two do not fit
        raise ValueError(
            f"adapter {folder!r} cannot be merged into its model ({explain(error)}); give a LoRA adapter of this very "
            f"model, or merge it elsewhere: {_MERGE}, and give that FOLDER"
        ) from error
    if stray:
        raise ValueError(
            f"adapter {folder!r} does not fit its model: {stray[0]} is in one of the two alone; give the adapter's own "
            "model"
        )
    if left := sorted({name for name, _ in merged.named_parameters()} - own):
        raise ValueError(
            f"adapter {folder!r} adds weights that cannot be merged, such as {left[0]}; give a LoRA adapter"
        )
    return merged


def _stray_weights(adapted: Any, folder: str) -> list[str]:
    """Weights of the adapter that the model has no place for, and places that stay empty: peft would go on without."""
    from peft import get_peft_model_state_dict

    with safe_open(Path(folder) / ADAPTER_WEIGHTS, framework="pt") as file:
        given = set(file.keys())
    places = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    # Embeddings that were saved with an adapter are loaded under their own names.
    return sorted((places - given) | (given - places - set(adapted.state_dict())))


@contextlib.contextmanager
def without_adapter(folder: str) -> Iterator[str]:
    """A folder with links to all files but the adapter's: where peft is there, transformers loads both, unmerged."""
    with tempfile.TemporaryDirectory(prefix="base-of-adapter-") as whole:
        for path in Path(folder).resolve().iterdir():
            if path.name not in _FILES:
                (Path(whole) / path.name).symlink_to(path)
        yield whole


def _named_base(folder: Path) -> str:
    try:
        content = json.loads((folder / ADAPTER_CONFIG).read_bytes())
        base = content.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{ADAPTER_CONFIG} of adapter {str(folder)!r} cannot be read ({explain(error)}); copy it again"
        ) from error
    if not isinstance(base, str) or not base:
        raise ValueError(
            f"base_model_name_or_path in {ADAPTER_CONFIG} of adapter {str(folder)!r} is {base!r:.80}; it must be the "
            "folder or name of the model that was adapted"
        )
    if not Path(base).is_absolute():
        if (folder / base).is_dir():
            base = str((folder / base).resolve())
        elif Path(base).exists():
            raise ValueError(
                f"base_model_name_or_path in {ADAPTER_CONFIG} of adapter {str(folder)!r} is {base!r}, relative to "
                f"where it was trained, and workers are elsewhere; write {str(Path(base).resolve())!r} there"
            )
    if is_adapter(base):
        raise ValueError(
            f"adapter {str(folder)!r} belongs to {base!r}, which is or has an adapter itself; merge that one first: "
            f"{_MERGE}"
        )
    return base
