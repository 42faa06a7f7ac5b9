"""Small models with random weights, of the classes that the network backends load, saved to disk with a tokenizer.

They know nothing; what is tested with them is the loading and calling code.
"""

import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    PreTrainedTokenizerFast,
)

SENTENCES = ["nur für Gäste", "O homem suprimido", "La mer est belle", "for guests only", "The Sea is Beautiful"]
SHAPE: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 32,
    "init_std": 1.0,  # large, so that what goes in makes a difference to what comes out
}


def save_marian(folder: Path) -> str:
    """A MarianMTModel: its languages are built in."""
    pieces = _train_pieces(folder, "source.spm")
    (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(["</s>", "<unk>", *pieces, "<pad>"]))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = MarianTokenizer(*(str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")))
    tokenizer.save_pretrained(folder)
    pad, size = vocabulary["<pad>"], len(vocabulary)
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=size, pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad, forced_eos_token_id=0, **SHAPE
    )
    MarianMTModel(config).save_pretrained(folder)
    return str(folder)


def save_nllb(folder: Path) -> str:
    """What NLLB is: an M2M100ForConditionalGeneration with NLLB's tokenizer, languages as `deu_Latn`."""
    characters = sorted({"▁", *"".join(SENTENCES).replace(" ", "▁")})
    vocabulary = {token: i for i, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", *characters))}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[])
    tokenizer.save_pretrained(folder)
    _save_m2m100(folder, len(tokenizer))
    return str(folder)


def save_m2m100(folder: Path) -> str:
    """An M2M100ForConditionalGeneration with its own tokenizer, languages as `__de__`."""
    pieces = _train_pieces(folder, "pieces.model")
    special = ("<s>", "<pad>", "</s>", "<unk>")
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys((*special, *pieces)))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "pieces.model"))
    tokenizer.save_pretrained(folder)
    _save_m2m100(folder, len(vocabulary) + len(tokenizer.lang_code_to_id) + 8)
    return str(folder)


def save_reader(folder: Path, words: list[str]) -> str:
    """A BertForQuestionAnswering over a vocabulary of the given words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*special, *words, *".,?'"]))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=1.0,
    )
    BertForQuestionAnswering(config).save_pretrained(folder)
    return str(folder)


def _save_m2m100(folder: Path, vocabulary_size: int) -> None:
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=vocabulary_size,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        **SHAPE,
    )
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


def _train_pieces(folder: Path, name: str) -> list[str]:
    """A SentencePiece model of the sentences at `folder/name`, and its pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES * 20),
            model_writer=file,
            vocab_size=50,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
