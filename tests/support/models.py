"""Small models with random weights, one per family, and a small tokenizer: what tests run the engine on.

The vocabulary is learned here from a few lines of text, so nothing is downloaded and ids are the same everywhere.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer

SLIDING_WINDOW = 8
"""Of the families that have one, in tokens: the tests' texts are several times as long."""
FAMILIES = ("llama", "gpt2", "gpt_neox", "qwen2", "mistral", "gemma3")
WINDOW = 512
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
TOKENS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
GPT2_TOKENIZER = Path(__file__).parents[3] / "shared/data/tokenizers/gpt2"

LEARNED_FROM = """Input: The mill ground 400 sacks, 120 more than in May. Output: The mill ground 400 sacks,
 [Calculator(400 - 120) -> 280] 120 more than in May. Add a call [QA("When was it built?")] or [WikiSearch("mill")].
The town lies on the river, and the bridge was built by the people of the town in the year of the flood."""


@cache
def build_tokenizer(vocabulary_size: int = 400) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with single digits; `<|endoftext|>` begins and ends sequences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([LEARNED_FROM], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>", model_max_length=WINDOW
    )


@cache
def gpt2_tokenizer() -> TextTokenizer:
    """GPT-2's real tokenizer; the test is skipped where it is not at hand."""
    if not GPT2_TOKENIZER.is_dir():
        pytest.skip(f"GPT-2's tokenizer is not at {GPT2_TOKENIZER}")
    return TextTokenizer.load(str(GPT2_TOKENIZER))


def build_model(family: str, *, vocabulary_size: int = 400, seed: int = 0) -> PreTrainedModel:
    """A model of two layers with random weights, large enough that its predictions differ from token to token."""
    return _randomise(_config(family, vocabulary_size), seed)


def build_config_model(config: PreTrainedConfig) -> PreTrainedModel:
    """A random model of any family, with the small shape and vocabulary written into its configuration."""
    shape = {**SHAPE, "num_key_value_heads": 2, "max_position_embeddings": WINDOW, "vocab_size": 400}
    for name, value in (shape | TOKENS).items():
        setattr(config, name, value)
    return _randomise(config, seed=0)


def wrap_model(network: PreTrainedModel, *, name: str = "random", **options: Any) -> LanguageModel:
    """A model with the small tokenizer, as the engine sees it."""
    return LanguageModel(network, TextTokenizer(build_tokenizer(), name=name), **options)


def build_language_model(family: str = "llama", **options: Any) -> LanguageModel:
    """A random model of a family with the small tokenizer, as the engine sees it."""
    return wrap_model(build_model(family), name=f"random {family}", **options)


def build_table_model(logits_VV: torch.Tensor) -> PreTrainedModel:
    """A Llama that reads a table: after token i the next token's logits are row i, whatever came before.

    Its attention and feed-forward layers add nothing; its hidden state is the last token, one-hot.
    """
    size = len(logits_VV)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=1,
        head_dim=2,
        max_position_embeddings=WINDOW,
        rms_norm_eps=1e-12,
        tie_word_embeddings=False,
        **TOKENS,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        # The norm scales a one-hot vector of V entries by sqrt(V).
        model.lm_head.weight.copy_(logits_VV.T / size**0.5)
    return model


def build_counting_model(vocabulary_size: int) -> PreTrainedModel:
    """Continues 10, 11, 12 with 13, all but certainly; after the last token comes token 0."""
    return build_table_model(50 * torch.eye(vocabulary_size).roll(1, dims=1))


def save_model(folder: Path, family: str = "llama") -> str:
    """A random model of a family as a Hugging Face folder; its path."""
    build_model(family).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return str(folder)


def _randomise(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.25)
    # As loaded from disk: without dropout.
    return model.eval()


def _config(family: str, vocabulary_size: int) -> PreTrainedConfig:
    shape: dict[str, Any] = {**SHAPE, **TOKENS, "vocab_size": vocabulary_size, "max_position_embeddings": WINDOW}
    match family:
        case "llama":
            return LlamaConfig(**shape, num_key_value_heads=2)
        case "qwen2":
            return Qwen2Config(**shape, num_key_value_heads=2)
        case "mistral":
            return MistralConfig(**shape, num_key_value_heads=2, sliding_window=SLIDING_WINDOW)
        case "gemma3":
            # As in the real one, some layers see everything and have other rotary positions.
            types = ["sliding_attention", "full_attention"]
            return Gemma3TextConfig(
                **shape, num_key_value_heads=1, head_dim=8, sliding_window=SLIDING_WINDOW, layer_types=types
            )
        case "gpt_neox":
            return GPTNeoXConfig(**shape)
        case "gpt2":
            return GPT2Config(**shape)
    raise ValueError(f"family is {family!r}; it must be one of {', '.join(FAMILIES)}")
