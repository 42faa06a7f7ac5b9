import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.models import build_tokenizer
from tests.support.scripted_model import ScriptedTokenizer
from toolformer_ray.annotate.cutting import MIN_TEXT_TOKENS, cut, max_text_tokens
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.annotate.propose_options import ProposeOptions, Shown
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


@pytest.mark.parametrize(
    "first, second",
    [
        ("The town lies on the river. The mill.\n\n", "The bridge was built. In the year."),
        ("The town lies on the river, and the bridge. ", "Built by the people of the town in the year."),
        ("the people of the town and the mill and the year\n", "the bridge and the river and the flood"),
        ("the people of the town and the mill and the year ", "z" * 30),
    ],
    ids=["paragraph", "sentence", "line", "word"],
)
def test_a_piece_ends_after_the_last_paragraph_that_fits_else_a_sentence_a_line_a_word(first: str, second: str) -> None:
    assert cut_in_two(first, second, num_tokens(first) + 5)[0] == first


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


class CountingTokenizer:
    """Counts the characters that it is asked about."""

    def __init__(self, tokenizer: TextTokenizer | ScriptedTokenizer) -> None:
        self._tokenizer, self.num_chars = tokenizer, 0

    def places(self, text: str) -> Places:
        self.num_chars += len(text)
        return self._tokenizer.places(text)

    def encode(self, text: str) -> list[int]:
        self.num_chars += len(text)
        return self._tokenizer.encode(text)


@pytest.mark.parametrize("unit", ["x", " ", "\n", "the ", "!", "\0", "\u0301", "水", FAMILY, "[Calculator(1+1) -> 2]"])
def test_a_character_is_looked_at_a_few_times_however_long_the_text(unit: str) -> None:
    tokenizer = CountingTokenizer(TOKENIZER)
    text = (unit * (20_000 // len(unit) + 1))[:20_000]
    assert "".join(cut(text, 64, tokenizer)) == text  # type: ignore[arg-type]
    assert tokenizer.num_chars < 10 * len(text)


def test_so_is_a_text_of_few_huge_tokens() -> None:
    tokenizer = CountingTokenizer(ScriptedTokenizer())
    text = "x" * 200_000
    assert list(cut(text, 16, tokenizer)) == [text]  # type: ignore[arg-type]
    # It looks 96 characters ahead at first, then twice as far each time.
    assert tokenizer.num_chars < 10 * len(text)


@pytest.mark.parametrize("shown", ["output", "whole"])
@pytest.mark.parametrize("key", sorted(find_tools()))
def test_the_prompt_with_the_longest_text_and_a_call_fits_the_window(key: str, shown: Shown) -> None:
    tool = find_tools()[key]
    taught = render_demonstrations(tool, shown)
    window = num_tokens(taught) + 400
    longest = max_text_tokens(TOKENIZER, window, [tool], ProposeOptions(shown=shown))
    text = next(cut("The town lies on the river. " * 100, longest, TOKENIZER))
    shown_first = num_tokens(render_text_slot(text)) if shown == "whole" else 0
    call = len(TOKENIZER.open_ids) + 64
    sequence = len(TOKENIZER.bos_ids) + num_tokens(taught) + shown_first + num_tokens(text) + call
    assert window - 40 < sequence <= window


@pytest.mark.parametrize("shown, times", [("output", "once"), ("whole", "twice")])
def test_a_window_that_the_prompt_alone_fills_is_refused(shown: Shown, times: str) -> None:
    tool, options = find_tools()["calculator"], ProposeOptions(shown=shown)
    with pytest.raises(ValueError, match=f"window of 200 tokens is too short: .* must fit {times}") as caught:
        max_text_tokens(TOKENIZER, 200, [tool], options)
    needed = int(str(caught.value).split("at least ")[1].split()[0])
    assert max_text_tokens(TOKENIZER, needed, [tool], options) == MIN_TEXT_TOKENS
