"""Reads what the driver has to know about a model before workers start, without loading its weights."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolformer_ray.records.errors import OptionError, first_line, one_line
from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint

if TYPE_CHECKING:
    from toolformer_ray.lm.tokenizer import TextTokenizer


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """The files of a model that can annotate, judging by its configuration and tokenizer."""

    tokenizer: "TextTokenizer"
    window: int
    """The longest sequence that it can read, in tokens."""
    revision: str | None
    """The commit on the Hugging Face Hub that all workers have to load; None for a folder."""
    fingerprint: str
    """Hash of the content of a folder's files or a GGUF file, or of the name and commit of a model on the Hub."""


def look_at_model(name_or_path: str, *, option: str = "model") -> ModelFiles:
    """Read a model's configuration and tokenizer. Raises OptionError, of the option that gave it, if the model cannot
    annotate."""
    # Torch and transformers take seconds to import, and most that imports this module needs neither.
    from toolformer_ray.lm.configuration import read_config, read_window
    from toolformer_ray.lm.sources import find_folder, fingerprint_model
    from toolformer_ray.lm.tokenizer import TextTokenizer

    is_here = Path(name_or_path).exists()
    if not is_here and find_folder(name_or_path) is None:
        _check_hub(name_or_path, option)
    try:
        window = read_window(read_config(name_or_path), name_or_path)
        tokenizer = TextTokenizer.load(name_or_path)
    except (ValueError, OSError) as error:
        raise OptionError(option, name_or_path, one_line(error)) from error
    if is_here:
        identity, revision = fingerprint_model(Path(name_or_path)), None
    else:
        revision = hub_revision(name_or_path)
        identity = fingerprint(name_or_path, revision)
    return ModelFiles(tokenizer=tokenizer, window=window, revision=revision, fingerprint=identity)


def hub_revision(name: str) -> str | None:
    """The commit of a model in this machine's cache of the Hub; the folder of a snapshot is named by it."""
    from toolformer_ray.lm.sources import find_folder

    folder = find_folder(name)
    return folder.name if folder else None


def model_folder(name_or_path: str, revision: str | None) -> str:
    """The folder from which a worker loads the model: as given, or a snapshot of that commit of the Hub."""
    if revision is None:
        return name_or_path
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(name_or_path, revision=revision, allow_patterns=[*MODEL_FILES, "*.json"]))
    except Exception as error:  # the HTTP library's errors share no base class
        problem = f"its commit {revision} cannot be loaded ({first_line(error)})"
        raise OptionError("model", name_or_path, f"{problem}; see to the connection to the Hugging Face Hub") from error


def _check_hub(name: str, option: str) -> None:
    """Ask the Hub once whether it has the model. Transformers would ask a dozen times and log each one."""
    from huggingface_hub import HfApi

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        HfApi().model_info(name, timeout=10)
    except Exception as error:  # the HTTP library's errors share no base class
        raise OptionError(
            option,
            name,
            f"it is no folder here, and the Hugging Face Hub does not have it or cannot be reached "
            f"({first_line(error)}); give the folder of a causal language model or its name on the Hub",
        ) from error
