"""A tokenizer with other borders than the small one: tokens of several words and digits, learned from a few texts."""

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.models import WINDOW, build_model
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer


def build_other_tokenizer(learned_from: Sequence[str], vocabulary_size: int = 400) -> PreTrainedTokenizerFast:
    """Byte-level BPE that does not split at words, so that what is frequent in the texts becomes one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(learned_from, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>", model_max_length=WINDOW
    )


def build_other_model(learned_from: Sequence[str], *, seed: int = 1) -> LanguageModel:
    """A random model with that tokenizer."""
    tokenizer = TextTokenizer(build_other_tokenizer(learned_from), name="other")
    return LanguageModel(build_model("llama", seed=seed), tokenizer)
