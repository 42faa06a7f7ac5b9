"""A model's configuration: reads it, refuses what is no causal language model, and tells its window and end tokens.

Whatever is wrong in a configuration is one line that names the file and, where it is known, the field.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from toolformer_ray.lm.adapters import base_model
from toolformer_ray.lm.sources import find_folder, loading_arguments
from toolformer_ray.records.errors import explain

CONFIG_FILE = "config.json"


def read_config(name_or_path: str) -> PreTrainedConfig:
    """The configuration of a causal language model. Raises ValueError, one line, if it is none or cannot be read."""
    source = loading_arguments(name_or_path)
    try:
        config = _load(source)
    except Exception as error:  # a field of a wrong type raises whatever first computes with it
        file = source.get("gguf_file", CONFIG_FILE)
        raise ValueError(
            f"{file} of model {name_or_path!r} cannot be loaded ({explain(error)}); give the folder of a causal "
            "language model, with the configuration that it was saved with"
        ) from error
    _refuse_other_kinds(config, name_or_path)
    return config


def read_window(config: PreTrainedConfig, name: str) -> int:
    """The longest sequence that the model reads exactly, in tokens.

    Sliding windows do not shorten it: they say what a layer sees, not how long a text may be. Where a family attends in
    separate chunks, or changes its rotary positions beyond the length it was trained at, it ends there: every batch
    then has the same masks and the same positions.
    """
    text_config = config.get_text_config()
    window = getattr(text_config, "max_position_embeddings", None)
    if not window:
        raise ValueError(f"{CONFIG_FILE} of model {name!r} states no max_position_embeddings; add it, in tokens")
    limits = [("max_position_embeddings", window)]
    if chunk := getattr(text_config, "attention_chunk_size", None):
        limits.append(("attention_chunk_size", chunk))
    rope = getattr(text_config, "rope_parameters", None) or {}
    # Families whose layers differ have one set of parameters for each type of layer.
    for entry in [entry for entry in rope.values() if isinstance(entry, dict)] or [rope]:
        if entry.get("rope_type") in ("dynamic", "longrope"):
            field = "original_max_position_embeddings"
            limits.append((field, entry.get(field, window)))
    for field, value in limits:
        if type(value) is not int or value < 1:
            raise ValueError(f"{field} in {CONFIG_FILE} of model {name!r} is {value!r}; it must be a number of tokens")
    return min(value for _, value in limits)


def read_end_ids(name_or_path: str) -> frozenset[int]:
    """The tokens that end a text, as the model's configuration and its generation configuration name them.

    Chat models name several, which its tokenizer does not tell. Raises ValueError if they are no ids of tokens.
    """
    folder = find_folder(base_model(name_or_path))
    ends: set[int] = set()
    for name in (CONFIG_FILE, "generation_config.json"):
        if folder is None or not (folder / name).is_file():
            continue
        try:
            stated = list(_eos_fields(json.loads((folder / name).read_bytes())))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{name} of model {name_or_path!r} cannot be read ({explain(error)}); copy it again"
            ) from error
        for value in stated:
            ids = value if isinstance(value, list) else [value]
            if not all(type(one) is int for one in ids):
                raise ValueError(
                    f"eos_token_id in {name} of model {name_or_path!r} is {value!r:.80}; it must be the id of a "
                    "token, or a list of them"
                )
            ends.update(ids)
    return frozenset(ends)


def _load(source: Mapping[str, str]) -> PreTrainedConfig:
    gguf = source.get("gguf_file")
    if gguf is None:
        return AutoConfig.from_pretrained(**source, trust_remote_code=False)
    path = Path(source["pretrained_model_name_or_path"], gguf)
    return copy.deepcopy(_load_from_gguf(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=1)
def _load_from_gguf(path: Path, _: int) -> PreTrainedConfig:
    """Kept, since transformers reads the whole vocabulary for it, which takes seconds."""
    return AutoConfig.from_pretrained(str(path.parent), gguf_file=path.name, trust_remote_code=False)


def _eos_fields(content: Any) -> Iterator[Any]:
    """What a configuration says of end tokens, at its top or in the part on the language model."""
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    for part in (content, content.get("text_config")):
        if isinstance(part, dict) and part.get("eos_token_id") is not None:
            yield part["eos_token_id"]


def _refuse_other_kinds(config: PreTrainedConfig, name: str) -> None:
    kind = config.model_type
    saved_as = ", ".join(config.architectures or ()) or kind
    if getattr(config, "is_encoder_decoder", False):
        raise ValueError(
            f"model {name!r} ({saved_as}) is a sequence-to-sequence model, which reads one text and writes another; "
            "give a causal language model, which goes on from a text"
        )
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        raise ValueError(
            f"model {name!r} ({saved_as}) is an encoder, which sees the words after a place as well; give a causal "
            "language model, which goes on from a text"
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ValueError(
            f"model {name!r} ({saved_as}) is no causal language model; give one, which goes on from a text"
        )
