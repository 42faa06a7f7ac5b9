import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.models import build_tokenizer
from tests.support.scripted_model import ScriptedTokenizer
from toolformer_ray.annotate.cutting import MIN_TEXT_TOKENS, cut, max_text_tokens
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.lm.tokenizer import Places, TextTokenizer
from toolformer_ray.tools.catalog import find_tools

TOKENIZER = TextTokenizer(build_tokenizer())
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PIECES = [
    "The mill ground 400 sacks. ",
    "No! ",
    "a\n",
    "\n\n",
    " \n \n",
    "\0",
    " ",
    FAMILY,
    "e\u0301",
    "שלום ",
    "水。",
    "x" * 40,
]


def num_tokens(text: str) -> int:
    return len(TOKENIZER.encode(text))


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=10)), max_size=40).map("".join), st.integers(16, 40)
)
def test_pieces_fit_and_joined_are_the_text_to_the_letter(text: str, max_tokens: int) -> None:
    pieces = list(cut(text, max_tokens, TOKENIZER))
    assert "".join(pieces) == text
    assert all(piece and num_tokens(piece) <= max_tokens for piece in pieces)


def test_a_text_that_fits_is_one_piece() -> None:
    assert list(cut("The mill.\n\nThe bridge.", 40, TOKENIZER)) == ["The mill.\n\nThe bridge."]
    assert list(cut("", 40, TOKENIZER)) == []
    assert list(cut("\0", 16, TOKENIZER)) == ["\0"]


def cut_in_two(first: str, second: str, budget: int) -> list[str]:
    assert num_tokens(first) <= budget < num_tokens(first + second)
    return list(cut(first + second, budget, TOKENIZER))


def test_a_piece_ends_after_the_last_paragraph_that_fits() -> None:
    first = "The town lies on the river. The mill.\n\n"
    assert cut_in_two(first, "The bridge was built. In the year.", num_tokens(first) + 8)[0] == first


def test_without_a_paragraph_a_piece_ends_after_a_sentence() -> None:
    first = "The town lies on the river, and the bridge. "
    assert cut_in_two(first, "Built by the people of the town in the year.", num_tokens(first) + 8)[0] == first


def test_without_a_sentence_a_piece_ends_after_a_line_or_a_word() -> None:
    line = "the people of the town and the mill and the year\n"
    assert cut_in_two(line, "the bridge and the river and the flood", num_tokens(line) + 5)[0] == line
    words = "the people of the town and the mill and the year "
    assert cut_in_two(words, "z" * 30, num_tokens(words) + 5)[0] == words


def test_a_boundary_that_would_leave_a_piece_less_than_half_full_is_passed_over() -> None:
    text = "A.\n\n" + "the town and the mill " * 8
    assert len(next(cut(text, 40, TOKENIZER))) > 40


def test_an_east_asian_sentence_ends_without_a_space() -> None:
    sentence = "水水水水水水。"
    assert list(cut(sentence * 2, num_tokens(sentence) + 2, TOKENIZER)) == [sentence, sentence]


@pytest.mark.parametrize("unit", [FAMILY, "e\u0301", "\r\n", "\U0001f44d\U0001f3fd", "नि"])
def test_a_character_is_not_cut_in_two(unit: str) -> None:
    pieces = list(cut(unit * 200, 50, TOKENIZER))
    assert len(pieces) > 1
    assert all(piece == unit * (len(piece) // len(unit)) for piece in pieces)


@pytest.mark.parametrize("unit", ["x", " ", "\n", "the ", "!", "\0", "\u0301", "水", FAMILY, "[Calculator(1+1) -> 2]"])
def test_the_time_grows_in_step_with_the_text(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        start = time.process_time()
        assert "".join(cut(text, 64, TOKENIZER)) == text
        return time.process_time() - start

    # Eight times the text takes about eight times as long; quadratic work would take 64 times.
    assert seconds(40_000) < 24 * max(seconds(5_000), 0.01)


def test_a_text_of_few_huge_tokens_is_encoded_a_few_times_only() -> None:
    class CountingTokenizer(ScriptedTokenizer):
        num_asked = 0

        def places(self, text: str) -> Places:
            self.num_asked += 1
            return super().places(text)

    tokenizer = CountingTokenizer()
    text = "x" * 200_000
    assert list(cut(text, 16, tokenizer)) == [text]
    # 96 characters at first, then twice as many each time: 96 * 2 ** 12 > 200,000.
    assert tokenizer.num_asked <= 13


@pytest.mark.parametrize("key", sorted(find_tools()))
def test_the_prompt_with_the_longest_text_and_a_call_fits_the_window(key: str) -> None:
    tool = find_tools()[key]
    window = num_tokens(render_demonstrations(tool)) + 400
    longest = max_text_tokens(TOKENIZER, window, [tool], 64)
    text = next(cut("The town lies on the river. " * 100, longest, TOKENIZER))
    prompt = num_tokens(render_demonstrations(tool)) + num_tokens(render_text_slot(text))
    sequence = len(TOKENIZER.bos_ids) + prompt + num_tokens(text) + len(TOKENIZER.open_ids) + 64
    assert window - 40 < sequence <= window


def test_a_window_that_the_prompt_alone_fills_is_refused() -> None:
    tool = find_tools()["calculator"]
    with pytest.raises(ValueError, match="window of 300 tokens is too short: the prompt of Calculator takes") as caught:
        max_text_tokens(TOKENIZER, 300, [tool], 64)
    needed = int(str(caught.value).split("at least ")[1].split()[0])
    assert max_text_tokens(TOKENIZER, needed, [tool], 64) == MIN_TEXT_TOKENS
