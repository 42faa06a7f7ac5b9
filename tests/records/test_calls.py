import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolformer_ray.records.calls import (
    MAX_RESULT_CHARS,
    clean_result,
    find_calls,
    insert_calls,
    parse_sample,
    remove_calls,
    remove_found_calls,
    render_call,
    unquote,
)
from toolformer_ray.records.stages import KeptCall

LOOK_ALIKES = [" [Calculator(1+1) -> 2]", "[Calculator(1+1)]", " [QA(", ") -> ", "]", " [", "\0", "e\u0301", "שלום"]
TEXTS = st.lists(st.one_of(st.sampled_from(LOOK_ALIKES), st.text(max_size=8)), max_size=8).map("".join)
TOOLS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
INPUTS = st.text(max_size=12).filter(lambda text: not re.search(r"[\[\]]|\) -> ", text + ") "))
RESULTS = st.text(max_size=12).map(clean_result)


def kept(char_offset: int, tool: str = "Calculator", call_input: str = "1+1", result: str = "2") -> KeptCall:
    return KeptCall(tool=tool, call_input=call_input, result=result, char_offset=char_offset, loss_reduction=1.0)


@st.composite
def texts_with_calls(draw: st.DrawFn) -> tuple[str, list[KeptCall]]:
    text = draw(TEXTS)
    offsets = sorted(draw(st.sets(st.integers(0, len(text)), max_size=5)))
    return text, [kept(offset, draw(TOOLS), draw(INPUTS), draw(RESULTS)) for offset in offsets]


@pytest.mark.paper("C1")
def test_a_call_is_written_with_its_leading_space_an_arrow_and_its_result() -> None:
    assert render_call("Calculator", "400 / 1400") == " [Calculator(400 / 1400)]"
    assert render_call("Calculator", "400 / 1400", "0.29") == " [Calculator(400 / 1400) -> 0.29]"
    assert render_call("Calculator", "400 / 1400", "") == " [Calculator(400 / 1400) -> ]"


@pytest.mark.paper("I3")
@given(texts_with_calls())
@example(("Sum [Calculator(1+1) -> 2] is 2.", [kept(3), kept(26)]))
@example(("", [kept(0)]))
def test_removing_inserted_calls_gives_back_any_text_to_the_letter(drawn: tuple[str, list[KeptCall]]) -> None:
    text, calls = drawn
    assert remove_calls(insert_calls(text, calls), calls) == text


@given(texts_with_calls())
def test_every_inserted_call_stands_before_the_character_at_its_offset(drawn: tuple[str, list[KeptCall]]) -> None:
    text, calls = drawn
    augmented, shift = insert_calls(text, calls), 0
    for call in calls:
        rendered = render_call(call.tool, call.call_input, call.result)
        assert augmented.startswith(rendered, call.char_offset + shift)
        shift += len(rendered)
    assert len(augmented) == len(text) + shift


def test_a_call_already_in_the_text_is_left_where_it_is() -> None:
    text = "We wrote [Calculator(1+1) -> 2] by hand."
    augmented = insert_calls(text, [kept(8)])
    assert augmented == "We wrote [Calculator(1+1) -> 2] [Calculator(1+1) -> 2] by hand."
    assert remove_calls(augmented, [kept(8)]) == text


def test_removing_a_call_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="no call ' \\[Calculator"):
        remove_calls("no call here", [kept(2)])


@pytest.mark.parametrize("offsets", [(3, 3), (4, 2), (-1,), (13,)])
def test_calls_out_of_order_or_outside_the_text_are_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="call at character"):
        insert_calls("twelve chars", [kept(offset) for offset in offsets])


@given(TOOLS, INPUTS, RESULTS)
def test_what_is_rendered_is_found_again_in_the_same_parts(tool: str, call_input: str, result: str) -> None:
    (found,) = find_calls("x" + render_call(tool, call_input, result) + "y")
    assert (found.tool, found.call_input, found.result) == (tool, call_input, result)
    assert remove_found_calls("x" + render_call(tool, call_input, result) + "y") == "xy"


@given(TOOLS, INPUTS)
def test_a_sample_is_parsed_into_the_call_that_it_would_be_rendered_as(tool: str, call_input: str) -> None:
    assert parse_sample(f"{tool}({call_input})") == (tool, call_input)


@given(st.text(max_size=20))
@example("QA(a) -> (b)")
@example("QA(a [Calculator(b)")
def test_every_call_that_a_sample_can_be_parsed_into_can_be_read_in_one_way_only(sample: str) -> None:
    if call := parse_sample(sample):
        (found,) = find_calls(render_call(*call, "r"))
        assert (found.tool, found.call_input, found.result) == (*call, "r")


@pytest.mark.parametrize(
    "sample", ["", "Calculator", "Calculator(", "Calculator)", "(1+1)", "1+1", "Calc ulator(1)", "Calculator(1) -> 2"]
)
def test_a_sample_that_is_no_call_is_none(sample: str) -> None:
    assert parse_sample(sample) is None


def test_a_sample_keeps_what_stands_between_its_outer_parentheses() -> None:
    assert parse_sample('QA("Who (if any) won?")') == ("QA", '"Who (if any) won?"')
    assert parse_sample(" Calculator( 2 * (3 + 4) ) ") == ("Calculator", " 2 * (3 + 4) ")
    assert parse_sample("Calendar()") == ("Calendar", "")


@given(st.text())
@example("a]b[c\nd\0e\ud800")
def test_a_cleaned_result_can_stand_in_a_call_and_in_a_file(result: str) -> None:
    cleaned = clean_result(result)
    assert not set("[]\n\r\0\u2028") & set(cleaned)
    assert cleaned == cleaned.strip() and len(cleaned) <= MAX_RESULT_CHARS
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert clean_result(cleaned) == cleaned


def test_unquoting_takes_off_one_pair_of_quotes_and_white_space() -> None:
    assert unquote(' "O homem" ') == "O homem"
    assert unquote("'it'") == "it"
    assert unquote('"') == '"'
    assert unquote("\"it'") == "\"it'"


def test_a_million_characters_that_almost_read_as_calls_are_searched_quickly() -> None:
    assert find_calls(" [A(" + ") -> " * 200_000) == []
    assert find_calls(" [A(" * 250_000) == []
