"""A decoder in a thread of its own: whoever asks joins the batch, and nobody is left without an end."""

import queue
from typing import Any

import pytest

from decode.answer import Answer
from decode.decoder import Decoder
from decode.options import DecodeOptions
from decode.service import Asked, DecodingService, ServiceStopped
from tests.decode.chain_model import chain_model
from tests.decode.slow_tools import Gate

GREEDY = DecodeOptions(max_new_tokens=6, call_top_k=1)


def asked(prompt: str, ends: "queue.Queue[Any]", options: DecodeOptions = GREEDY) -> Asked:
    return Asked(prompt, options, lambda _: None, ends.put)


def test_one_who_asks_later_is_answered_while_another_waits_for_a_tool() -> None:
    tool, ends = Gate(), queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {"Calculator": tool}))
    service.ask(asked("it is", ends))
    assert tool.asked.wait(30)
    service.ask(asked(" so", ends, DecodeOptions(max_new_tokens=2, max_calls=0)))
    assert ends.get(timeout=30).text == " it is"
    tool.is_open.set()
    assert ends.get(timeout=30).text == " [Calculator(1+2) -> 3] so it is 7 so it"
    service.stop()


def test_a_prompt_that_is_too_long_ends_with_its_error_and_the_others_go_on() -> None:
    ends = queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {}))
    service.ask(asked("1" * 600, ends))
    assert isinstance(ends.get(timeout=30), ValueError)
    service.ask(asked(" so", ends))
    assert isinstance(ends.get(timeout=30), Answer)
    service.stop()


@pytest.mark.parametrize("way", ["stopped", "broken"])
def test_when_the_thread_ends_whoever_waits_is_told(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, ends = Gate(), queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {"Calculator": tool}))
    service.ask(asked("it is", ends))
    assert tool.asked.wait(30)
    if way == "stopped":
        service.stop()
    else:
        monkeypatch.setattr("lm.generation.Generator.step", lambda _: 1 / 0)
        service.ask(asked(" so", queue.Queue()))
    assert isinstance(ends.get(timeout=30), ServiceStopped)
    tool.is_open.set()
    assert not service.is_alive
    with pytest.raises(ServiceStopped):
        service.ask(asked(" so", ends))


def test_a_request_that_is_cancelled_gets_no_answer() -> None:
    tool, ends = Gate(), queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {"Calculator": tool}))
    waiting = asked("it is", ends)
    service.ask(waiting)
    assert tool.asked.wait(30)
    service.cancel(waiting)
    tool.is_open.set()
    service.ask(asked(" so", ends))
    assert ends.get(timeout=30).text.startswith(" it is")
    assert ends.empty()
    service.stop()
