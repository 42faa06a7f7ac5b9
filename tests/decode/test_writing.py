"""The state machine of calls, fed with tokens by hand: when a call starts, what is asked, how the text goes on."""

import pytest

from tests.support.scripted_vocabulary import END, HALF, Script
from toolformer_ray.lm.writing.author import End, Wait, Write
from toolformer_ray.records.calls import clean_result, remove_calls
from toolformer_ray.records.stages import KeptCall
from toolformer_ray.tools.asking.call import Call

CALL = (" [", "Calculator(", "3 + 4", ")", " ->")
WRITTEN = " [Calculator(3 + 4) -> 7]"


def statuses(script: Script) -> list[str]:
    return [call.status for call in script.author.calls]


@pytest.mark.paper("D1")
def test_at_the_arrow_the_text_waits_and_the_result_and_the_end_marker_are_written():
    script = Script()
    assert isinstance(script.feed("It is", *CALL), Wait)
    assert script.author.asked == Call("Calculator", "3 + 4")
    script.answer("7")
    assert script.standing == "It is" + WRITTEN
    assert isinstance(script.feed(" 7", ".", END), End)
    answer = script.finished()
    assert (answer.text, answer.plain_text) == (f"It is{WRITTEN} 7.", "It is 7.")
    assert answer.finish_reason == "stop"
    [call] = answer.calls
    assert (call.tool, call.call_input, call.status, call.result, call.char_offset) == (
        *("Calculator", "3 + 4", "ok", "7"),
        len("It is"),
    )


def test_the_tokens_of_the_call_stay_as_the_model_wrote_them_and_only_the_rest_is_encoded():
    script = Script()
    script.feed("It is", *CALL)
    step = script.answer("7")
    ids = script.vocabulary.id
    # The arrow was chosen, but not yet read: the text waited.
    assert step == Write([ids(" ->"), ids(" 7"), ids("]")], take_back=0)


@pytest.mark.parametrize(
    "call",
    [
        (" [", "Calculator(3 + 4) -", ">"),
        (" [", "Calculator(3 + 4)", " -> "),
        (" [", "Calculator(3 + 4)", " -> 12] 12"),
        (" [", "Calculator(3 + 4)", " -> f(1) ->"),
        (" [", "Calculator(3 + 4", ") -> 1"),
        (" [", "Calculator(", "3 + 4", ")]"),
        (" [", "Calculator(3 + 4)", "] so"),
        ("[", "Calculator(3 + 4)", " ->"),
        (" [", " Calculator(3 + 4)", " ->"),
        (" [Calc", "ulator(3 + 4)", " ->"),
    ],
)
def test_however_the_call_is_cut_into_tokens_nothing_behind_the_arrow_is_the_models(call):
    script = Script()
    assert isinstance(script.feed("It is", *call), Wait)
    script.answer("7")
    assert script.standing == "It is" + WRITTEN
    assert script.feed(END) == End()
    assert script.finished().text == "It is" + WRITTEN


def test_plain_text_in_the_token_that_opens_a_call_stays_plain_text():
    script = Script()
    script.feed("seen", ". [", "QA(Who?)", " ->")
    script.answer("Ada")
    script.feed(END)
    assert script.finished().text == "seen. [QA(Who?) -> Ada]"
    assert script.finished().plain_text == "seen."
    assert script.finished().calls[0].char_offset == len("seen.")


@pytest.mark.paper("D2")
def test_a_call_starts_where_the_start_marker_is_among_the_k_likeliest():
    script = Script(call_top_k=10)
    assert script.author.open_within == 10
    script.feed("It is")
    script.feed(" 7", near=True)
    assert script.standing == "It is ["


def test_no_call_is_put_inside_a_character():
    script = Script(call_top_k=10)
    script.feed("caf", HALF)
    assert script.author.open_within == 0
    script.feed(HALF)
    assert script.author.open_within == 10


@pytest.mark.paper("D3")
def test_after_the_budget_no_call_may_start():
    script = Script(max_calls=1)
    assert script.author.may_open
    script.feed("It is", *CALL)
    assert not script.author.may_open
    script.answer("7")
    script.feed(" 7")
    assert not script.author.may_open


def test_several_calls_are_several_but_none_directly_behind_another():
    script = Script(max_calls=2)
    script.feed("It is", *CALL)
    script.answer("7")
    assert not script.author.may_open
    script.feed(" 7", " and")
    assert script.author.may_open
    script.feed(*CALL)
    script.answer("7")
    script.feed(END)
    assert script.finished().text == f"It is{WRITTEN} 7 and{WRITTEN}"
    assert [call.char_offset for call in script.finished().calls] == [5, 11]


@pytest.mark.paper("D3")
def test_disabled_calls_never_start():
    script = Script(max_calls=0, call_top_k=10)
    assert not script.author.may_open
    script.feed("It is")
    script.feed(" 7", near=True)
    assert script.standing == "It is 7"


@pytest.mark.parametrize("status", ["empty", "bad_input", "timeout", "crashed", "unavailable"])
def test_a_call_without_a_result_is_taken_back_to_the_letter_and_no_call_starts_there_again(status):
    script = Script(max_calls=2)
    script.feed("It is", *CALL)
    script.answer(None, status)
    assert script.standing == "It is"
    assert not script.author.may_open
    script.feed(" 8", END)
    assert script.finished().text == "It is 8"
    assert statuses(script) == [status]


@pytest.mark.parametrize(
    ("tokens", "status"),
    [
        ((" [", "1"), "malformed"),
        ((" [", "see", " there"), "malformed"),
        ((" [", "Calculator", "]"), "malformed"),
        ((" [", "Calculator(", "3 + ["), "malformed"),
        ((" [", "Calculator(", "3", "]"), "malformed"),
        ((" [", "Calculator(3", ")", ">]"), "malformed"),
        ((" [", "Weather("), "unknown_tool"),
        ((" [", "Weather(Rome)]"), "unknown_tool"),
        ((" [", "QA("), "barred_tool"),
        ((" [", "Calculator(", "3 ", "+ ", "4 "), "unfinished"),
        ((" [", "Calculator(", END), "unfinished"),
        ((" [", END), "unfinished"),
    ],
)
def test_what_becomes_no_call_is_taken_back_as_soon_as_that_is_certain(tokens, status):
    script = Script(barred=("QA",), max_call_tokens=4)
    script.feed("It is", *tokens)
    assert script.standing == "It is"
    assert statuses(script) == [status]
    assert not script.author.may_open
    script.feed(" 8")
    # It was no call: the budget of one is still there.
    assert script.author.may_open
    script.feed(END)
    assert script.finished().text == "It is 8"


def test_after_so_many_false_starts_no_call_may_start():
    script = Script(max_false_starts=2)
    script.feed("a", " [", "1", "b", " [", "2", "c")
    assert not script.author.may_open
    assert script.standing == "abc"


def test_an_arrow_or_a_parenthesis_inside_an_input_ends_nothing():
    script = Script()
    script.feed(" [", "QA(", "what is f(x)", ": a -> b", ", (c)", "?)", " ->")
    assert script.author.asked == Call("QA", "what is f(x): a -> b, (c)?")


def test_an_answer_with_end_markers_or_of_any_length_leaves_calls_that_can_be_removed():
    script = Script(window=10_000)
    script.feed("It is", *CALL)
    script.answer(clean_result("[7] ](-> 8]\n" * 10_000))
    script.feed(" so", END)
    answer = script.finished()
    [call] = answer.calls
    kept = KeptCall(
        tool="Calculator", call_input="3 + 4", result=call.result or "", char_offset=call.char_offset, loss_reduction=0
    )
    assert len(call.result or "") <= 1000
    assert remove_calls(answer.text, [kept]) == answer.plain_text == "It is so"


def test_tokens_of_calls_do_not_count_as_new_ones():
    script = Script(max_new_tokens=3)
    script.feed("It", " is", *CALL)
    script.answer("7")
    assert isinstance(script.feed(" 7"), End)
    answer = script.finished()
    assert (answer.finish_reason, answer.text, answer.num_plain_tokens) == ("length", f"It is{WRITTEN} 7", 3)


def test_a_result_that_does_not_fit_into_the_window_is_left_out_with_its_call():
    # 1 token, 5 of the call, 2 for the result and the end marker, and one more must fit behind 10 of the prompt.
    for window, status in ((18, "no_room"), (19, "ok")):
        script = Script(window=window)
        script.feed("It is", *CALL)
        script.answer("7")
        assert statuses(script) == [status]
        assert script.standing == "It is" + (WRITTEN if status == "ok" else "")
        script.feed(" 8")


def test_at_the_end_of_the_window_a_call_in_the_making_is_taken_back_and_the_text_ends():
    script = Script(window=14, max_false_starts=1)
    script.feed("It is", " [", "Calculator(", "3 + 4")
    assert (script.standing, statuses(script)) == ("It is", ["unfinished"])
    assert isinstance(script.feed(" 7", ",", " I"), End)
    assert script.finished().finish_reason == "length"


def test_the_text_ends_before_a_stop_string_even_if_it_comes_in_pieces():
    script = Script(stop=("\nQ:", "END"))
    script.feed("a", " b", "\n")
    assert "".join(piece.text for piece in script.author.transcript.drain()) == "a b"
    assert isinstance(script.feed("Q: what"), End)
    assert (script.finished().text, script.finished().finish_reason) == ("a b", "stop")


def test_what_turns_out_to_be_no_stop_string_is_told_after_all():
    script = Script(stop=("\nQ:",))
    script.feed("a", "\n", "R")
    assert "".join(piece.text for piece in script.author.transcript.drain()) == "a\nR"


def test_a_stop_string_in_a_call_or_in_a_result_ends_nothing():
    script = Script(stop=("3", "7"))
    script.feed("It is", *CALL)
    script.answer("7")
    script.feed(" so", END)
    assert script.finished().text == f"It is{WRITTEN} so"


def test_what_is_told_is_never_taken_back_and_says_who_said_it():
    script = Script(max_calls=2)
    told = []
    for token in ("It", " is", " [", "no call", " the sum", *CALL):
        script.feed(token)
        told += script.author.transcript.drain()
    assert [(piece.text, piece.by) for piece in told] == [("It", "text"), (" is", "text"), (" the sum", "text")]
    script.answer("7")
    assert [(piece.text, piece.by) for piece in script.author.transcript.drain()] == [
        (" [Calculator(3 + 4) -> ", "call"),
        ("7", "result"),
        ("]", "call"),
    ]


def test_half_a_character_is_told_when_it_is_whole_or_never_will_be():
    script = Script()
    script.feed("caf", HALF)
    assert [piece.text for piece in script.author.transcript.drain()] == ["caf"]
    script.feed(HALF, HALF, END)
    assert [piece.text for piece in script.author.transcript.drain()] == ["é", "\ufffd"]
