"""What makes two models the same: the content of the files that decide their answers, not their path."""

import hashlib
from pathlib import Path

import torch
from transformers import PreTrainedModel

from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint_files


def fingerprint_folder(folder: Path) -> str:
    """A hash of a model folder's configuration, weights and tokenizer; other files do not count."""
    return fingerprint_files(folder, MODEL_FILES)


def fingerprint_weights(model: PreTrainedModel) -> str:
    """A hash of a model in memory: its type, configuration and weights as they are, so its dtype too."""
    total = hashlib.sha256(f"{model.config.model_type} {model.config.to_json_string(use_diff=False)}".encode())
    for name, weight in sorted(model.state_dict().items()):
        # Viewed as bytes: numpy has no bfloat16.
        content = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
        total.update(name.encode() + content.numpy().tobytes())
    return total.hexdigest()
