"""A model with random weights that likes to write calls such as `Calculator(3+5)`, so that every stage has work.

Nothing is learned: a constant in its last bias makes the few tokens of such calls likelier than all others.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

WINDOW = 2048
LIKED = ("1", "2", "+", ")]")
"""One sample in fifty or so is `Calculator(`, a number or a sum, and `)]`."""


def save_calling_model(folder: Path, *, seed: int = 0, tool: str = "Calculator") -> str:
    """Save the model and its tokenizer as a Hugging Face folder; returns its path. It calls the tool of that name."""
    opening = f"{tool}("
    tokenizer = _build_tokenizer(opening)
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=WINDOW,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=False,
        )
    )
    liked = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))[0] for text in (opening, *LIKED)]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
        # The last layer norm adds a constant to one feature, which only the liked tokens read.
        model.transformer.ln_f.bias[0] = 1.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[liked, 0] = 9.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def _build_tokenizer(opening: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.Split(opening, "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, digits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f"{opening}1+2)] [{opening}1+2)]"] * 10, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>", model_max_length=WINDOW
    )
