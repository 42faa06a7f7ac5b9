"""The models of the comparison: the miniature, random weights in the shapes of known families, and those of a folder.

Where the texts need a longer window than the original has, GPT-2's shape gets more position embeddings and the rotary
positions of the others reach further. Speed and token counts are those of the shape; what a random model writes, or the
miniature beyond its own window, is noise.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedConfig, PreTrainedModel

from toolformer_ray.lm.configuration import read_window
from toolformer_ray.lm.files import DTYPES, load_network
from toolformer_ray.lm.tokenizer import TextTokenizer

MINIATURE = Path(__file__).parents[1] / "miniature/model"
GPT2_TOKENIZER = Path("../shared/data/tokenizers/gpt2")

_LLAMA: dict[str, Any] = {"vocab_size": 128256, "rms_norm_eps": 1e-5, "num_key_value_heads": 8, "rope_theta": 500000.0}
SHAPES: dict[str, tuple[str, PreTrainedConfig]] = {
    "gpt2-124m": ("GPT-2 124M shape", GPT2Config()),
    "llama-1b": (
        "Llama-3.2-1B shape",
        LlamaConfig(
            **_LLAMA,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=32,
            head_dim=64,
            tie_word_embeddings=True,
        ),
    ),
    "llama-8b": (
        "Llama-3.1-8B shape",
        LlamaConfig(
            **_LLAMA,
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=32,
            num_attention_heads=32,
            head_dim=128,
            tie_word_embeddings=False,
        ),
    ),
}
NAMES = ("miniature", *SHAPES)


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """A model with its tokenizer, and what it is good for."""

    title: str
    model: PreTrainedModel
    tokenizer: TextTokenizer
    writes_calls: bool
    """Whether it was trained to write calls, and in a window as long as the texts need."""


def load_tokenizer(name: str) -> TextTokenizer:
    """A folder's or the miniature's own; for the other shapes GPT-2's where it is at hand, else the miniature's."""
    if name not in NAMES:
        return TextTokenizer.load(name)
    has_gpt2 = name != "miniature" and GPT2_TOKENIZER.is_dir()
    return TextTokenizer.load(str(GPT2_TOKENIZER if has_gpt2 else MINIATURE))


def load_model(name: str, tokenizer: TextTokenizer, *, window: int, device: str, dtype: str) -> BenchModel:
    """The model on its device, with a window of at least `window` tokens. Raises ValueError if there is none such.

    A folder's model is taken as it is: it is never stretched beyond its own window.
    """
    if name == "miniature":
        model = load_network(str(MINIATURE), device=device, dtype=dtype)
        is_stretched = window > model.config.max_position_embeddings
        if is_stretched:
            model.config.max_position_embeddings = window
        title = "Miniature" + (", beyond its own window" if is_stretched else "")
        return BenchModel(title=title, model=model, tokenizer=tokenizer, writes_calls=not is_stretched)
    if name not in SHAPES:
        model = load_network(name, device=device, dtype=dtype)
        if window > read_window(model.config, name):
            raise ValueError(f"model {name!r} reads fewer than {window} tokens; give --tokens a smaller number")
        return BenchModel(title=Path(name).name, model=model, tokenizer=tokenizer, writes_calls=True)
    title, shape = SHAPES[name]
    config = copy.deepcopy(shape)
    config.max_position_embeddings = max(window, config.max_position_embeddings)
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
    return BenchModel(title=title, model=model.eval(), tokenizer=tokenizer, writes_calls=False)


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model that shares its weights, so that what the engine changes in its own leaves the copy alone."""
    weights: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    return copy.deepcopy(model, weights)
