"""Model, tools and state machine together: who waits, who does not, and that a batch changes no letter."""

import threading

import pytest

from tests.support.chain_model import chain_model
from tests.support.models import build_language_model
from tests.support.slow_tools import Down, Gate, calculator
from toolformer_ray.decode.completion import Completion, Piece
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import MIN_TEMPERATURE, DecodeOptions
from toolformer_ray.records.calls import find_calls, remove_calls
from toolformer_ray.records.stages import KeptCall
from toolformer_ray.tools.tool import Tool

PROMPTS = [f"{'so it ' * (number % 5)}{number} is" for number in range(64)]
DRAWN = DecodeOptions(max_new_tokens=12, temperature=1.0, max_calls=3, call_top_k=0, max_call_tokens=12)
GREEDY = DecodeOptions(max_new_tokens=8, max_calls=2, call_top_k=1)


def decoder(tool: Tool, batch_size: int = 64) -> Decoder:
    return Decoder(chain_model(), {tool.name: tool}, batch_size=batch_size)


def written(answer: Completion) -> tuple[str, list[tuple[str | None, str]]]:
    return answer.text, [(call.call_input, call.status) for call in answer.calls]


@pytest.mark.parametrize("options", [DRAWN, GREEDY])
def test_a_batch_of_64_writes_what_each_text_alone_would_be(options: DecodeOptions) -> None:
    together = decoder(calculator()).write(PROMPTS, options)
    alone = decoder(calculator(), batch_size=1).write(PROMPTS[:16], options)
    assert list(map(written, together))[:16] == list(map(written, alone))
    assert sum(call.status == "ok" for answer in together for call in answer.calls) >= 64
    if options.temperature:
        assert len({answer.text for answer in together}) > 20


def test_at_the_lowest_temperature_the_likeliest_tokens_are_drawn_and_a_lower_one_is_refused() -> None:
    greedy, drawn = (DecodeOptions(max_new_tokens=9, max_calls=0, temperature=t) for t in (0.0, MIN_TEMPERATURE))
    assert decoder(calculator()).write(PROMPTS, drawn) == decoder(calculator()).write(PROMPTS, greedy)
    with pytest.raises(ValueError, match="temperature is 1e-40; it must be 0 or from 1e-06 to"):
        DecodeOptions(temperature=1e-40)


def test_every_call_in_a_text_was_asked_and_removing_the_calls_leaves_the_plain_text() -> None:
    tool = Gate(is_open=True)
    for answer in decoder(tool).write(PROMPTS, DRAWN):
        kept = [
            KeptCall(
                tool=call.tool or "",
                call_input=call.call_input or "",
                result=call.result or "",
                char_offset=call.char_offset,
                loss_reduction=0.0,
            )
            for call in answer.calls
            if call.status == "ok"
        ]
        assert remove_calls(answer.text, kept) == answer.plain_text
        assert [(c.tool, c.call_input, c.result) for c in find_calls(answer.text)] == [
            (c.tool, c.call_input, c.result) for c in kept
        ]
        assert {call.call_input for call in kept} <= set(tool.inputs)
        assert all(call.result == str(sum(map(int, call.call_input.split("+")))) for call in kept)


def test_the_others_go_on_and_new_ones_begin_while_a_text_waits_for_its_tool() -> None:
    tool = Gate()
    engine = decoder(tool, batch_size=2)
    waiting = engine.submit("it is", GREEDY)
    others = [engine.submit("so", DecodeOptions(max_new_tokens=6, max_calls=0)) for _ in range(5)]
    finished = []
    while len(finished) < len(others):
        engine.wait()
        finished += engine.step()
    assert waiting.completion is None
    assert set(finished) == set(others)
    assert tool.asked.wait(30)
    tool.is_open.set()
    assert list(engine.finish()) == [waiting]
    assert waiting.completion is not None
    assert waiting.completion.text == " [Calculator(1+2) -> 3] so it is [Calculator(1+2) -> 3] so it is 7 so"


def test_while_every_text_waits_the_model_is_not_run_and_nobody_looks_twice() -> None:
    tool = Gate()
    engine = decoder(tool)
    request = engine.submit("it is", DRAWN)
    while not tool.asked.is_set():
        engine.step()
    num_passes, waits = engine.num_passes, []
    opener = threading.Timer(0.2, tool.is_open.set)
    opener.start()
    while request.completion is None and engine.num_passes == num_passes:
        waits.append(engine.wait())
        engine.step()
    assert len(waits) <= 3
    opener.join()


def test_texts_that_may_not_begin_while_too_many_wait_are_not_looked_at_again_and_again() -> None:
    tool = Gate()
    engine = decoder(tool, batch_size=1)
    requests = [engine.submit("it is", GREEDY) for _ in range(6)]
    opener, num_steps = threading.Timer(0.2, tool.is_open.set), 0
    opener.start()
    while not tool.is_open.is_set():
        engine.wait()
        engine.step()
        num_steps += 1
    # Four texts get as far as their call, in some ten steps each; the other two may not begin before an answer.
    assert num_steps < 50
    assert set(engine.finish()) <= set(requests)
    assert len({request.completion.text for request in requests if request.completion}) == 1
    opener.join()


def test_a_tool_that_is_too_slow_is_not_waited_for() -> None:
    tool = Gate(timeout=0.05)
    [answer] = decoder(tool).write(["it is"], DecodeOptions(max_new_tokens=4, temperature=1.0, call_top_k=0))
    tool.is_open.set()
    assert [call.status for call in answer.calls][:1] == ["timeout"]
    assert "[" not in answer.text
    assert answer.text.startswith(" 7 so it is")


def test_a_tool_that_cannot_be_reached_leaves_a_text_without_calls() -> None:
    engine = Decoder(chain_model(), {"Calculator": Down(max_retries=0)})
    [answer] = engine.write(["it is"], DecodeOptions(max_new_tokens=4, temperature=1.0, call_top_k=0))
    assert answer.text == answer.plain_text == " 7 so it is"
    assert {call.status for call in answer.calls} == {"unavailable"}


def test_a_tool_that_was_not_loaded_is_not_asked_and_the_text_goes_on() -> None:
    engine = Decoder(chain_model(), {})
    [answer] = engine.write(["it is"], DecodeOptions(max_new_tokens=4, call_top_k=0))
    assert answer.text == " 7 so it is"
    assert [(call.tool, call.status) for call in answer.calls] == [("Calculator", "unknown_tool")]


def test_a_tool_that_the_decoder_bars_is_asked_by_no_text_whatever_its_options_bar() -> None:
    tool = Gate()
    engine = Decoder(chain_model(), {"Calculator": tool}, barred=["Calculator"])
    [answer] = engine.write(["it is"], DecodeOptions(max_new_tokens=4, call_top_k=0, barred=("QA",)))
    assert (answer.text, tool.inputs) == (" 7 so it is", [])
    assert {call.status for call in answer.calls} == {"barred_tool"}


def test_pieces_are_told_as_they_are_written_and_make_the_whole_text() -> None:
    told: list[Piece] = []
    lengths = []

    def tell(pieces: list[Piece]) -> None:
        told.extend(pieces)
        lengths.append(len(pieces))

    engine = decoder(calculator())
    request = engine.submit("it is", DRAWN, tell)
    list(engine.finish())
    assert request.completion is not None
    assert "".join(piece.text for piece in told) == request.completion.text
    assert len(lengths) > 5
    results = [piece.text for piece in told if piece.by == "result"]
    assert results == [call.result for call in request.completion.calls if call.status == "ok"] != []


def test_a_request_that_is_cancelled_is_written_no_further_and_its_answer_not_waited_for() -> None:
    tool = Gate()
    engine = decoder(tool)
    waiting, running = engine.submit("it is", DRAWN), engine.submit("so", DRAWN)
    while not tool.asked.is_set():
        engine.step()
    engine.cancel(waiting)
    engine.cancel(running)
    tool.is_open.set()
    again = engine.submit("so", DecodeOptions(max_new_tokens=3, max_calls=0))
    assert list(engine.finish()) == [again]


def test_a_prompt_that_fills_the_window_is_refused_by_its_beginning() -> None:
    engine = decoder(calculator())
    with pytest.raises(
        ValueError, match="a prompt of 512 tokens leaves nothing of the window of 512 tokens of 'chain'"
    ):
        engine.submit("1" * 511, DRAWN)
    assert engine.submit("1" * 510, DRAWN)


def test_real_architectures_write_the_same_with_calls_forced_in_whatever_the_batch() -> None:
    model = build_language_model("llama")
    texts = ["The mill ground 400 sacks", "The", "In the year of the flood the bridge was built by the people"]
    options = DecodeOptions(
        max_new_tokens=10, temperature=1.0, call_top_k=400, max_false_starts=9, max_call_tokens=6, max_calls=2
    )

    def write(batch_size: int) -> list[Completion]:
        return Decoder(model, {"Calculator": calculator()}, batch_size=batch_size).write(texts, options)

    assert [written(answer) for answer in write(3)] == [written(answer) for answer in write(1)]
