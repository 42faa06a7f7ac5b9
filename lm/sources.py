"""Where a model's files are: a folder, a GGUF file or a name on the Hugging Face Hub; and the hash of their content.

A GGUF file is read by transformers' own reader: its weights are dequantised once, when they are loaded.
"""

import hashlib
import importlib.util
from pathlib import Path

from transformers.utils import cached_file

from toolformer_ray.lm.adapters import base_model, is_adapter
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint, fingerprint_files

GGUF_MAGIC = b"GGUF"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tiktoken.model")


def is_gguf(name_or_path: str) -> bool:
    """Whether this is a GGUF file, by its first bytes; one that is named so is taken for one."""
    path = Path(name_or_path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(GGUF_MAGIC)) == GGUF_MAGIC or path.suffix.lower() == ".gguf"


def loading_arguments(name_or_path: str) -> dict[str, str]:
    """What transformers' `from_pretrained` is given to find the model's files; of an adapter, those of its model.

    Raises ValueError, one line, if it would find other files than are meant, or none.
    """
    name_or_path = base_model(name_or_path)
    path = Path(name_or_path)
    if is_gguf(name_or_path):
        if importlib.util.find_spec("gguf") is None:
            raise UnusableError(
                f"model {name_or_path!r} is a GGUF file, which is read with the package gguf, and that is not "
                "installed; install it: pip install 'toolformer-ray[gguf]'"
            )
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    if path.is_file():
        raise ValueError(f"model {name_or_path!r} is a file and no GGUF; give the folder of a model, or a GGUF file")
    if _is_missing_path(path):
        raise ValueError(f"there is no model folder {name_or_path!r}; correct the path or give a name on the Hub")
    return {"pretrained_model_name_or_path": name_or_path}


def tokenizer_arguments(name_or_path: str) -> dict[str, str]:
    """`loading_arguments` of the tokenizer: an adapter may have its own, else it is its model's."""
    arguments = loading_arguments(name_or_path)
    if is_adapter(name_or_path) and has_tokenizer(name_or_path):
        return {"pretrained_model_name_or_path": name_or_path}
    return arguments


def has_tokenizer(folder: str) -> bool:
    """Whether a folder has the files of a tokenizer."""
    return any((Path(folder) / name).is_file() for name in _TOKENIZER_FILES)


def find_folder(name_or_path: str) -> Path | None:
    """The folder of a model's files, be it in the Hub's cache; None if there is none on this machine."""
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    if Path(name_or_path).exists():
        return None
    try:
        config = cached_file(name_or_path, "config.json", local_files_only=True)
    except OSError:
        return None
    return Path(config).parent if config else None


def find_files(name_or_path: str) -> Path | None:
    """The GGUF file itself, else `find_folder`."""
    return Path(name_or_path) if is_gguf(name_or_path) else find_folder(name_or_path)


def fingerprint_model(path: Path) -> str:
    """A hash of a GGUF file, or of a folder's configuration, weights and tokenizer; of an adapter, with its model's.

    Other files and the path do not count.
    """
    if path.is_dir():
        own = fingerprint_files(path, MODEL_FILES)
        base = base_model(str(path))
        if base == str(path):
            return own
        files = find_files(base)
        return fingerprint(own, fingerprint_model(files) if files else base)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_missing_path(path: Path) -> bool:
    """Whether this can only be meant as a folder and is none: asking the Hub first costs half a minute offline."""
    may_be_a_name = len(path.parts) == 1 or (len(path.parts) == 2 and not path.parent.is_dir())
    return not path.is_dir() and not may_be_a_name
