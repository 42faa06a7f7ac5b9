"""What makes two models the same: the content of the files that decide their answers, not their path."""

import hashlib
from pathlib import Path

import torch
from transformers import PreTrainedModel

_DECIDING_FILES = ("config.json", "*.safetensors", "tokenizer.json", "tokenizer_config.json")


def fingerprint_folder(folder: Path) -> str:
    """A hash of a model folder's configuration, weights and tokenizer; other files do not count."""
    paths = sorted(path for pattern in _DECIDING_FILES for path in folder.glob(pattern))
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def fingerprint_weights(model: PreTrainedModel) -> str:
    """A hash of a model in memory: its type, configuration and weights as they are, so its dtype too."""
    total = hashlib.sha256(f"{model.config.model_type} {model.config.to_json_string(use_diff=False)}".encode())
    for name, weight in sorted(model.state_dict().items()):
        # Viewed as bytes: numpy has no bfloat16.
        content = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
        total.update(name.encode() + content.numpy().tobytes())
    return total.hexdigest()
