import time
from functools import cache

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from tests.support.models import LEARNED_FROM, build_tokenizer, gpt2_tokenizer
from toolformer_ray.lm.tokenizer import TextTokenizer

HARD_TEXTS = [
    "The mill ground 400 sacks, 120 more.",
    "  two spaces, a\ttab,\n\na blank line ",
    "smile 😀, family 👨‍👩‍👧, flag 🇫🇷!",
    "cafe\u0301 and café, नमस्ते, שלום עולם",
    "NUL \x00 inside, [Calculator(1+1) -> 2] already there",
    "<|endoftext|> and </s> are plain text",
    "x",
]


@cache
def byte_level() -> TextTokenizer:
    return TextTokenizer(build_tokenizer(), name="byte-level")


@cache
def metaspace(*, style: str) -> TextTokenizer:
    """A sentencepiece-like tokenizer with byte fallback, in the two styles that are published.

    "legacy" normalises the whole text (Llama 1, 2), "metaspace" splits it into words first (Mistral, Gemma).
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if style == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        replace = decoders.Replace("▁", " ")
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        replace = decoders.Metaspace(prepend_scheme="first", split=False)
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<unk>", "<s>", "</s>", *fallback], show_progress=False, max_token_length=8
    )
    tokenizer.train_from_iterator(LEARNED_FROM.split("\n"), trainer)
    tokenizer.decoder = decoders.Sequence(
        [replace, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return TextTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"), name=style
    )


TOKENIZERS = {
    "byte-level": byte_level,
    "legacy": lambda: metaspace(style="legacy"),
    "metaspace": lambda: metaspace(style="metaspace"),
    "gpt2": gpt2_tokenizer,
}
each_tokenizer = pytest.mark.parametrize("build", TOKENIZERS.values(), ids=TOKENIZERS.keys())


@each_tokenizer
@pytest.mark.parametrize("text", HARD_TEXTS)
def test_decoding_what_was_encoded_gives_the_text_to_the_letter(build, text):
    tokenizer = build()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@each_tokenizer
def test_pieces_encoded_apart_read_as_their_concatenation(build):
    tokenizer = build()
    pieces = ["Input: ", "The mill", ' [QA("When?") -> 1850]', " ground", "400", "\nOutput: "]
    ids = [token for piece in pieces for token in tokenizer.encode(piece)]
    assert tokenizer.decode(ids) == "".join(pieces)


@each_tokenizer
@pytest.mark.parametrize("text", HARD_TEXTS)
def test_the_text_from_a_place_on_is_the_text_of_the_tokens_from_there_on(build, text):
    tokenizer = build()
    places = tokenizer.places(text)
    assert places.ids == tokenizer.encode(text)
    assert places.is_place[0]
    for index, (offset, is_place) in enumerate(zip(places.char_offsets, places.is_place, strict=True)):
        if is_place:
            assert text[offset:] == tokenizer.decode(places.ids[index:])


def test_a_place_lies_before_the_space_of_its_word():
    places = byte_level().places("The mill")
    assert [(offset, "The mill"[offset:]) for offset in places.char_offsets] == [(0, "The mill"), (3, " mill")]


@each_tokenizer
def test_no_place_lies_inside_a_character_as_readers_see_it(build):
    tokenizer = build()
    text = "a👨‍👩‍👧e\u0301z"
    places = tokenizer.places(text)
    assert len(places.ids) > 10, "the emoji is split into bytes, or the test shows nothing"
    # a, the family of five code points, e with its accent, z
    starts = [offset for offset, is_place in zip(places.char_offsets, places.is_place, strict=True) if is_place]
    assert starts == [0, 1, 6, 8]


def test_a_lone_space_before_digits_takes_the_place_of_the_first_digit():
    tokenizer = byte_level()
    text = "is 29"
    places = tokenizer.places(text)
    tokens = [tokenizer.decode([token]) for token in places.ids]
    assert tokens[-3:] == [" ", "2", "9"]
    assert places.is_place[-3:] == [True, False, True]
    assert places.char_offsets[-3:] == [2, 3, 4]


@pytest.mark.paper("C5")
def test_all_spellings_of_the_start_marker_count_and_only_they():
    tokenizer = gpt2_tokenizer()
    assert {tokenizer.decode([token]) for token in tokenizer.start_marker_ids} == {"[", " ["}
    assert [tokenizer.decode([token]) for token in tokenizer.open_ids] == [" ["]


def test_every_entry_that_contains_the_end_marker_ends_a_call():
    tokenizer = gpt2_tokenizer()
    ends = {tokenizer.decode([token]) for token in tokenizer.end_marker_ids}
    assert {"]", ")]", " ]", "].", '"]'} <= ends
    assert all("]" in end for end in ends)


def test_a_special_token_in_a_text_is_plain_text():
    tokenizer = byte_level()
    ids = tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.special_ids == {0}
    assert not tokenizer.special_ids.intersection(ids)
    assert len(ids) > 5


def test_sequences_begin_with_the_end_of_sequence_token_if_there_is_no_beginning():
    plain = PreTrainedTokenizerFast(tokenizer_object=build_tokenizer().backend_tokenizer, eos_token="<|endoftext|>")
    assert TextTokenizer(plain, name="no bos").bos_ids == (0,)


@pytest.mark.parametrize("build", [byte_level, lambda: metaspace(style="legacy")], ids=["byte-level", "legacy"])
def test_ten_times_the_text_takes_about_ten_times_as_long(build):
    tokenizer = build()

    def seconds(text: str) -> float:
        start = time.perf_counter()
        tokenizer.places(text)
        return time.perf_counter() - start

    for unit in ("word ", "a", "é😀"):
        short, long = unit * (20_000 // len(unit)), unit * (200_000 // len(unit))
        assert seconds(long) < 40 * max(seconds(short), 0.005), unit


def test_loading_needs_no_weights(tmp_path):
    build_tokenizer().save_pretrained(tmp_path)
    assert TextTokenizer.load(str(tmp_path)).encode("The mill") == byte_level().encode("The mill")


def test_a_slow_tokenizer_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^tokenizer of 'google/byt5' is a slow one .*tokenizer\.json") as error:
        TextTokenizer(ByT5Tokenizer(), name="google/byt5")
    assert "\n" not in str(error.value)


def test_a_vocabulary_without_the_start_marker_is_refused():
    words = Tokenizer(models.WordLevel({"<unk>": 0, "mill": 1}, unk_token="<unk>"))
    with pytest.raises(ValueError, match=r"^vocabulary of 'words' has no entry for the call-start marker '\['"):
        TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"), name="words")


def test_a_wrong_path_is_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="^there is no model folder '.*nowhere'; correct the path") as error:
        TextTokenizer.load(str(tmp_path / "nowhere"))
    assert "\n" not in str(error.value)


def test_a_mistyped_folder_beside_others_is_not_sought_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="^there is no model folder 'models/mll'"):
        TextTokenizer.load("models/mll")


def test_a_file_that_is_no_tokenizer_is_refused_in_one_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="^tokenizer of .* cannot be loaded") as error:
        TextTokenizer.load(str(tmp_path))
    assert "\n" not in str(error.value)
