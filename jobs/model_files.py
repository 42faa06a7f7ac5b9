"""What the driver has to know of a model before any worker starts, from its small files: no weights are loaded."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from records.fingerprint import fingerprint

if TYPE_CHECKING:
    from lm.tokenizer import TextTokenizer


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model that can annotate, as far as its configuration and tokenizer tell."""

    tokenizer: "TextTokenizer"
    window: int
    """The longest sequence that it reads, in tokens."""
    fingerprint: str
    """Of the content of a folder's files; of name and commit for a model on the Hugging Face Hub."""


def look_at_model(name_or_path: str) -> ModelFiles:
    """Read a model's configuration and tokenizer. Raises ValueError, one line, if the model cannot annotate."""
    # Torch and transformers take seconds to import; `toolformer --help` does without.
    from transformers import AutoConfig

    from lm.fingerprint import fingerprint_folder
    from lm.loading import find_folder, read_window
    from lm.tokenizer import TextTokenizer

    is_folder = Path(name_or_path).is_dir()
    if not is_folder and find_folder(name_or_path) is None:
        _check_hub(name_or_path)
    try:
        tokenizer = TextTokenizer.load(name_or_path)
        window = read_window(AutoConfig.from_pretrained(name_or_path, trust_remote_code=False), name_or_path)
    except (ValueError, OSError) as error:
        raise ValueError(f"--model {name_or_path}: {' '.join(str(error).split())}") from error
    # The weights of a model on the Hub may not be here, but workers will load them as of the same commit.
    folder = find_folder(name_or_path)
    identity = (
        fingerprint_folder(Path(name_or_path)) if is_folder else fingerprint(name_or_path, folder and folder.name)
    )
    return ModelFiles(tokenizer=tokenizer, window=window, fingerprint=identity)


def _check_hub(name: str) -> None:
    """Ask the Hub once whether it has the model: transformers would ask a dozen times, and say so each time."""
    from huggingface_hub import HfApi

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        HfApi().model_info(name, timeout=10)
    except Exception as error:  # the HTTP library's errors share no base class
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"--model {name} is no folder here, and the Hugging Face Hub does not have it or cannot be reached "
            f"({reason}); give the folder of a causal language model or its name on the Hub"
        ) from error
