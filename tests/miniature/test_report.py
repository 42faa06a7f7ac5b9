"""The demo's judgement of kept calls, on rows made by hand."""

import pytest

from tests.support.models import build_tokenizer
from tests.support.rows import make_row
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.miniature.report import is_right, is_true, judge, share
from toolformer_ray.miniature.texts import DueCall
from toolformer_ray.records.stages import Document, Scored

#       0         1         2         3
#       0123456789012345678901234567890123456
TEXT = "Ann packed 4 boxes of 12, so 48 pens."
DUE = DueCall(tool="Calculator", call_input="4 * 12", result="48", char_offset=28, answer_end=31)


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(build_tokenizer())


def kept(tokenizer: TextTokenizer, place: int, result: str = "48", tool: str = "Calculator") -> Scored:
    places = tokenizer.places(TEXT)
    at = {"token_index": place, "char_offset": places.char_offsets[place]}
    return make_row(Scored, tool=tool, call_input="4 * 12", result=result, **at)


def first_token_at(tokenizer: TextTokenizer, char_offset: int) -> int:
    return tokenizer.places(TEXT).char_offsets.index(char_offset)


def test_a_true_answer_right_before_its_place_is_right(tokenizer: TextTokenizer) -> None:
    assert is_right(kept(tokenizer, first_token_at(tokenizer, 28)), DUE, TEXT, tokenizer)


def test_a_call_four_tokens_early_still_reaches_the_answer_and_one_five_tokens_early_does_not(
    tokenizer: TextTokenizer,
) -> None:
    due_index = first_token_at(tokenizer, 28)
    assert is_right(kept(tokenizer, due_index - 4), DUE, TEXT, tokenizer)
    assert not is_right(kept(tokenizer, due_index - 5), DUE, TEXT, tokenizer)


def test_a_call_after_the_answer_is_not_right(tokenizer: TextTokenizer) -> None:
    assert not is_right(kept(tokenizer, first_token_at(tokenizer, 31)), DUE, TEXT, tokenizer)


def test_another_answer_and_another_tool_are_not_right(tokenizer: TextTokenizer) -> None:
    place = first_token_at(tokenizer, 28)
    assert not is_right(kept(tokenizer, place, result="49"), DUE, TEXT, tokenizer)
    assert not is_right(kept(tokenizer, place, tool="QA"), DUE, TEXT, tokenizer)


def test_a_translated_phrase_is_true_if_the_text_has_it_and_the_truth_has_its_words() -> None:
    text = 'They say "mebo tavi kulo", which means the old well.'
    due = DueCall(tool="MT", call_input='"mebo tavi kulo"', result="the old well", char_offset=38, answer_end=51)
    assert is_true("MT", "mebo tavi kulo", "the old well", due, text)
    assert is_true("MT", "mebo tavi", "the old", due, text)
    # Miscopied words, a word cut in two, and a phrase that the text does not have.
    assert not is_true("MT", "mebo tavi kul", "the old kul", due, text)
    assert not is_true("MT", "mebo tavi", "the ol", due, text)
    assert not is_true("MT", "mebo  tavi", "the old", due, text)


def test_a_passage_is_true_if_it_holds_the_answer() -> None:
    due = DueCall(tool="WikiSearch", call_input='"Oruna"', result="Belmar", char_offset=0, answer_end=7)
    assert is_true("WikiSearch", "x", "Oruna is a country. Its capital is Belmar.", due, "")
    assert not is_true("WikiSearch", "x", "Oruna is a country.", due, "")


def test_two_right_calls_for_one_due_call_count_twice_as_kept_and_once_as_found(tokenizer: TextTokenizer) -> None:
    document = make_row(Document, doc_id="story", text=TEXT)
    place = first_token_at(tokenizer, 28)
    rows = [kept(tokenizer, place), kept(tokenizer, place - 1), kept(tokenizer, place, result="9")]
    verdict = judge(rows, {"t-0": document}, {"story": [DUE]}, tokenizer)["Calculator"]
    assert (verdict.kept, verdict.right, verdict.due, verdict.due_kept) == (3, 2, 1, 1)


def test_a_share_of_nothing_has_no_percentage() -> None:
    assert [share(1, 2), share(0, 0)] == ["1 (50%)", "0"]
