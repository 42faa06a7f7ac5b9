"""A decoder in a thread of its own: whoever asks joins the batch, and nobody is left without an end."""

import errno
import queue
from pathlib import Path
from typing import Any

import pytest

from tests.support.chain_model import chain_model
from tests.support.slow_tools import Gate
from toolformer_ray.decode.completion import Completion
from toolformer_ray.decode.decoder import Decoder
from toolformer_ray.decode.options import DecodeOptions
from toolformer_ray.decode.request import DecodeRequest
from toolformer_ray.decode.service import DecodingService, ServiceStopped
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.tools.asking.answer_store import AnswerStore

GREEDY = DecodeOptions(max_new_tokens=6, call_top_k=1)


def request(prompt: str, ends: "queue.Queue[Any]", options: DecodeOptions = GREEDY) -> DecodeRequest:
    return DecodeRequest(prompt, options, on_end=ends.put)


def test_one_who_asks_later_is_answered_while_another_waits_for_a_tool() -> None:
    tool, ends = Gate(), queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {"Calculator": tool}))
    service.submit(request("it is", ends))
    assert tool.asked.wait(30)
    service.submit(request(" so", ends, DecodeOptions(max_new_tokens=2, max_calls=0)))
    assert ends.get(timeout=30).text == " it is"
    tool.is_open.set()
    assert ends.get(timeout=30).text == " [Calculator(1+2) -> 3] so it is 7 so it"
    service.stop()


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        ("1" * 600, "a prompt of 601 tokens leaves nothing of the window of 512 tokens of 'chain'"),
        ("so \ud800", r"character 3 of a prompt is '\ud800', half a character, which UTF-8 does not have; give"),
    ],
)
def test_a_prompt_that_cannot_be_gone_on_from_ends_with_its_error_and_the_others_go_on(prompt: str, line: str) -> None:
    ends = queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {}))
    service.submit(request(prompt, ends))
    error = ends.get(timeout=30)
    assert isinstance(error, ValueError)
    assert str(error).startswith(line)
    assert len(str(error).splitlines()) == 1
    service.submit(request(" so", ends))
    assert isinstance(ends.get(timeout=30), Completion)
    service.stop()


def test_whatever_goes_wrong_when_a_prompt_is_taken_in_ends_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tool, ends, end_of_broken = Gate(), queue.Queue[Any](), queue.Queue[Any]()
    decoder = Decoder(chain_model(), {"Calculator": tool})
    read = decoder.read
    monkeypatch.setattr(decoder, "read", lambda request: read(request) if request.prompt != "broken" else 1 // 0)
    service = DecodingService(decoder)
    service.submit(request("it is", ends))
    assert tool.asked.wait(30)
    service.submit(request("broken", end_of_broken))
    assert isinstance(end_of_broken.get(timeout=30), ZeroDivisionError)
    tool.is_open.set()
    assert isinstance(ends.get(timeout=30), Completion)
    service.stop()


@pytest.mark.parametrize(
    "options",
    [
        DecodeOptions(max_new_tokens=2, call_top_k=10**30, max_calls=10**30, max_call_tokens=10**30),
        DecodeOptions(max_new_tokens=2, temperature=1e-6, seed=-(10**30)),
        DecodeOptions(max_new_tokens=2, temperature=1e6),
    ],
)
def test_the_largest_and_smallest_numbers_that_are_allowed_make_a_text(options: DecodeOptions) -> None:
    ends = queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {}))
    service.submit(request("it is", ends, options))
    assert isinstance(ends.get(timeout=30), Completion)
    service.stop()


def test_a_recording_that_cannot_be_read_ends_the_text_that_asked_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: RunFolder, name: str) -> Any:
        raise OSError(errno.EIO, "the disk is gone", name)

    ends, end_of_asking = queue.Queue[Any](), queue.Queue[Any]()
    decoder = Decoder(chain_model(), {"Calculator": Gate()}, store=AnswerStore(RunFolder(str(tmp_path)), "replay"))
    monkeypatch.setattr(RunFolder, "read_json", refuse)
    with pytest.raises(OSError, match="the disk is gone"):
        decoder.write(["it is"], GREEDY)
    service = DecodingService(decoder)
    service.submit(request("it is", end_of_asking))
    assert isinstance(end_of_asking.get(timeout=30), OSError)
    service.submit(request(" so", ends, DecodeOptions(max_new_tokens=2, max_calls=0)))
    assert ends.get(timeout=30).text == " it is"
    service.stop()


@pytest.mark.parametrize("way", ["stopped", "broken"])
def test_when_the_thread_ends_whoever_waits_is_told(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tool, ends = Gate(), queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {"Calculator": tool}))
    service.submit(request("it is", ends))
    assert tool.asked.wait(30)
    if way == "stopped":
        service.stop()
    else:
        monkeypatch.setattr("toolformer_ray.lm.writing.generator.Generator.step", lambda _: 1 / 0)
        service.submit(request(" so", queue.Queue()))
    assert isinstance(ends.get(timeout=30), ServiceStopped)
    tool.is_open.set()
    assert not service.is_alive
    with pytest.raises(ServiceStopped):
        service.submit(request(" so", ends))


def test_a_request_that_is_cancelled_gets_no_answer() -> None:
    tool, ends = Gate(), queue.Queue[Any]()
    service = DecodingService(Decoder(chain_model(), {"Calculator": tool}))
    waiting = request("it is", ends)
    service.submit(waiting)
    assert tool.asked.wait(30)
    service.cancel(waiting)
    tool.is_open.set()
    service.submit(request(" so", ends))
    assert ends.get(timeout=30).text.startswith(" it is")
    assert ends.empty()
    service.stop()
