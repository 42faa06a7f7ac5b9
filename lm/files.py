"""The files of a causal LM: loads it, refusing what the engine would not run exactly, and fingerprints it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.utils import cached_file

from toolformer_ray.records.errors import OptionError, UnusableError, first_line
from toolformer_ray.records.fingerprint import MODEL_FILES, fingerprint_files

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_network(
    name_or_path: str, *, device: str, dtype: str, device_map: str | Mapping[str, Any] | None = None
) -> PreTrainedModel:
    """The model on the device, or laid over several as `device_map` says.

    Raises ValueError, one line that names the value and the remedy.
    """
    if dtype not in DTYPES:
        raise OptionError("dtype", dtype, f"it must be one of {', '.join(DTYPES)}")
    target = _check_device(device)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            name_or_path,
            dtype=DTYPES[dtype],
            device_map=device_map,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"model {name_or_path!r} cannot be loaded ({first_line(error)}); give the folder of a Hugging Face causal "
            "language model with safetensors weights, or its name on the Hub"
        ) from error
    model, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise ValueError(
            f"model {name_or_path!r} lacks {len(missing)} of its weights, such as {missing[0]}; "
            "save it as the causal language model that it is"
        )
    if device_map is None:
        return model.to(target)
    if target.type != "cpu" and not {"cpu", "disk"}.isdisjoint(map(str, model.hf_device_map.values())):
        raise UnusableError(
            f"model {name_or_path!r} does not fit the {torch.cuda.device_count()} GPUs that it is laid over; give it "
            "more with `gpus_per_worker`, or use `dtype` bfloat16"
        )
    return model


def read_window(config: PreTrainedConfig, name: str) -> int:
    """The longest sequence that the model reads exactly, in tokens.

    Sliding windows do not shorten it: they say what a layer sees, not how long a text may be. Where a family attends in
    separate chunks, or changes its rotary positions beyond the length it was trained at, it ends there: every batch
    then has the same masks and the same positions.
    """
    text_config = config.get_text_config()
    window = getattr(text_config, "max_position_embeddings", None)
    if not window:
        raise ValueError(f"config.json of model {name!r} states no max_position_embeddings; add it, in tokens")
    rope = getattr(text_config, "rope_parameters", None) or {}
    # Families whose layers differ have one set of parameters for each type of layer.
    by_type = [entry for entry in rope.values() if isinstance(entry, dict)] or [rope]
    stretched = [entry for entry in by_type if entry.get("rope_type") in ("dynamic", "longrope")]
    trained = [entry.get("original_max_position_embeddings", window) for entry in stretched]
    return min(window, getattr(text_config, "attention_chunk_size", None) or window, *trained)


def find_folder(name_or_path: str) -> Path | None:
    """The folder of a model's files, be it in the Hub's cache; None if there is none on this machine."""
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    try:
        config = cached_file(name_or_path, "config.json", local_files_only=True)
    except OSError:
        return None
    return Path(config).parent if config else None


def fingerprint_folder(folder: Path) -> str:
    """A hash of a model folder's configuration, weights and tokenizer; other files and the path do not count."""
    return fingerprint_files(folder, MODEL_FILES)


def fingerprint_weights(model: PreTrainedModel) -> str:
    """A hash of a model in memory: its type, configuration and weights, in the dtype that they have."""
    total = hashlib.sha256(f"{model.config.model_type} {model.config.to_json_string(use_diff=False)}".encode())
    for name, weight in sorted(model.state_dict().items()):
        # Viewed as bytes: numpy has no bfloat16.
        content = weight.detach().cpu().contiguous().flatten().view(torch.uint8)
        total.update(name.encode() + content.numpy().tobytes())
    return total.hexdigest()


def _check_device(device: str) -> torch.device:
    known = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if device not in known and not (device == "cuda" and len(known) > 1):
        raise ValueError(f"device {device!r} is not available; this machine has {', '.join(known)}")
    return torch.device(device)
