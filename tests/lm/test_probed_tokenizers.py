"""A tokenizer from which texts do not come back to the letter is refused, with what it loses."""

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.models import LEARNED_FROM
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.lm.tokenizer_probe import PROBES


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([LEARNED_FROM], trainer)
    return tokenizer


def with_normalizer(normalizer: normalizers.Normalizer) -> Tokenizer:
    tokenizer = byte_level()
    tokenizer.normalizer = normalizer
    return tokenizer


def words_only() -> Tokenizer:
    """A vocabulary of the words of some texts: every other word is `<unk>`."""
    words = dict.fromkeys(["<unk>", "</s>", "[", "]", *["the", "mill", "by", "river"]])
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def pieces_of_words() -> Tokenizer:
    """As T5 and XLM-R have it: white space is cut away, and each word has a mark for the one space before it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=80, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(LEARNED_FROM.split("\n"), trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> str:
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("build", "lost"),
    [
        (
            lambda: with_normalizer(normalizers.Lowercase()),
            "capital letters: of 'The Mill of NEW York' it makes 'the m",
        ),
        (
            lambda: with_normalizer(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])),
            "accents: of ",
        ),
        (lambda: with_normalizer(normalizers.NFKC()), "typographic signs: of "),
        (lambda: with_normalizer(normalizers.Strip()), "spaces at the beginning or the end: of ' and then ' it makes"),
        (lambda: with_normalizer(normalizers.Replace("  ", " ")), "spaces that follow one another: of "),
        (lambda: with_normalizer(normalizers.Replace("\n", " ")), "line breaks: of "),
        (lambda: with_normalizer(normalizers.Replace("->", "to")), "the syntax of calls: of "),
        (words_only, "words: of 'seventeen candles"),
        (pieces_of_words, "spaces: of 'the mill by the river' it makes 'themillbytheriver'"),
    ],
    ids=["lower case", "no accents", "NFKC", "stripped", "one space", "one line", "call syntax", "words", "pieces"],
)
def test_what_a_tokenizer_loses_is_named(build, lost, tmp_path):
    folder = save(build(), tmp_path)
    with pytest.raises(ValueError, match="; use a model whose tokenizer gives texts back to the letter$") as refused:
        TextTokenizer.load(folder)
    assert f"tokenizer of {folder!r} loses {lost}" in str(refused.value)


def test_a_tokenizer_that_loses_nothing_is_used(tmp_path):
    loaded = TextTokenizer.load(save(byte_level(), tmp_path))
    assert all(loaded.decode(loaded.encode(text)) == text for text in PROBES.values())


def test_an_added_token_that_takes_the_spaces_around_it_leaves_them_in_the_text(tmp_path):
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<place>", lstrip=True, rstrip=True)])
    loaded = TextTokenizer.load(save(tokenizer, tmp_path))
    text = "at  <place>  there"
    assert loaded.decode(loaded.encode(text)) == text
    assert len(loaded.encode("<place>")) == 1
