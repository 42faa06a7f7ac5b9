"""A real model in which the next token follows from the last one alone, and which writes sums as calls for ever.

` so it is [Calculator(1+2) -> 3] so it is [Calculator(` and so on: at each digit and sign it has a choice, so drawn
texts differ. Behind an arrow it would like to write ` 9`. Where no call may start it says ` 7`.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.support.models import build_table_model
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.tokenizer_probe import PROBES

OPEN = {" [": 5.0, " 7": 3.0}
NEXT = {
    "is": OPEN,
    " is": OPEN,
    " [": {"Calculator(": 9.0, "QA(": 5.0},
    "Calculator(": {"1": 5.0, "2": 4.5, "3": 4.0},
    "QA(": {"1": 5.0},
    "+": {"1": 4.0, "2": 5.0, "3": 4.5},
    "1": {"+": 6.0, ")": 4.0},
    "2": {"+": 4.5, ")": 5.0},
    "3": {"+": 4.5, ")": 5.0},
    ")": {" ->": 9.0},
    " ->": {" 9": 9.0},
    " 7": {" so": 9.0},
    "]": {" so": 9.0},
    " so": {" it": 9.0},
    " it": {" is": 9.0},
}
WORDS = [*NEXT, "QA(", " 9"]
CHARACTERS = [chr(code) for code in range(32, 127)]
ENTRIES = ["<s>", "<unk>", *dict.fromkeys([*WORDS, *CHARACTERS, *(f" {digit}" for digit in "0123456789")])]
# One that is loaded from a folder has to give back all that it is probed with.
SAVED = [*ENTRIES, *sorted(set("".join(PROBES.values())) - set(ENTRIES))]


def build_chain_tokenizer(entries: Sequence[str] = ENTRIES) -> PreTrainedTokenizerFast:
    """Words, signs and single digits; the longest entry that fits is the token."""
    tokenizer = Tokenizer(models.WordLevel({entry: number for number, entry in enumerate(entries)}, unk_token="<unk>"))
    pieces = Regex(r"Calculator\(|QA\(| (?:so|it|is|->)(?!\w)| [\[\d]|is(?!\w)|[\s\S]")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pieces, "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<s>", unk_token="<unk>")


def build_chain_network(entries: Sequence[str] = ENTRIES) -> torch.nn.Module:
    logits_VV = torch.full((len(entries), len(entries)), -6.0)
    for entry, following in NEXT.items():
        for token, logit in following.items():
            logits_VV[ENTRIES.index(entry), ENTRIES.index(token)] = logit
    return build_table_model(logits_VV)


@cache
def chain_model() -> LanguageModel:
    return LanguageModel(build_chain_network(), TextTokenizer(build_chain_tokenizer(), name="chain"))


def save_chain_model(folder: Path) -> str:
    """The same as a Hugging Face folder; its path."""
    build_chain_network(SAVED).save_pretrained(folder)
    build_chain_tokenizer(SAVED).save_pretrained(folder)
    return str(folder)
