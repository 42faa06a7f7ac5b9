"""An endpoint that means harm: its size, its slowness, its characters, and what it says back about the key."""

import gzip
import json
import logging
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from tests.support.http_endpoint import Request, completion, serve
from toolformer_ray.records.calls import MAX_RESULT_CHARS
from toolformer_ray.tools.asking.answer_store import AnswerOptions, open_store
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.backends.qa_endpoint import MAX_ANSWER_BYTES
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.qa import QuestionAnswering, QuestionAnsweringOptions

KEY = "sk-do-not-tell-0123456789"
BEGINNING = b'{"choices": [{"message": {"content": "'
MEGABYTE = 10**6


def ask(port: int, *questions: str, store: Path | None = None, timeout: float = 20.0) -> list[Outcome]:
    options = QuestionAnsweringOptions(
        endpoint_url=f"http://127.0.0.1:{port}/v1",
        model="tiny",
        api_key_variable="HOSTILE_KEY",
    )
    tool = QuestionAnswering(options)
    tool.asking = Asking(timeout=timeout, max_retries=1)
    tool.open()
    executor = ToolExecutor(
        {"QA": tool}, open_store(AnswerOptions(record=str(store) if store else None)), first_retry_delay=0.0
    )
    return executor.run([("QA", question, None) for question in questions or ("Who?",)])


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE_KEY", KEY)


def test_an_answer_of_a_hundred_megabytes_is_cut_and_marked_and_never_in_memory() -> None:
    num_sent = [0]

    def respond(request: Request) -> None:
        request.send(BEGINNING + b"Paris ", Content_Type="application/json")
        for _ in range(100):
            request.wfile.write(b"x" * MEGABYTE)
            num_sent[0] += MEGABYTE

    with serve(respond) as port:
        ask(port, "So that everything is imported")
        num_sent[0] = 0
        tracemalloc.start()
        (outcome,) = ask(port)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (outcome.status, outcome.note) == ("ok", "cut")
    assert outcome.result == "Paris " + "x" * (MAX_RESULT_CHARS - len("Paris "))
    # The server's own megabyte is in the same process.
    assert peak < MEGABYTE + 8 * MAX_ANSWER_BYTES
    assert num_sent[0] < 50 * MEGABYTE


def test_an_error_of_a_hundred_megabytes_is_not_read_either() -> None:
    num_sent = [0]

    def respond(request: Request) -> None:
        request.send(b"", status=500)
        for _ in range(100):
            request.wfile.write(b"x" * MEGABYTE)
            num_sent[0] += MEGABYTE

    with serve(respond) as port:
        assert [outcome.status for outcome in ask(port)] == ["unavailable"]
    assert num_sent[0] < 100 * MEGABYTE


def test_an_answer_that_unpacks_to_much_is_not_unpacked() -> None:
    packed = gzip.compress(BEGINNING + b"x" * 100 * MEGABYTE)
    assert len(packed) < MAX_ANSWER_BYTES
    with serve(lambda request: request.send(packed, Content_Encoding="gzip")) as port:
        assert [outcome.status for outcome in ask(port)] == ["unavailable"]


def test_an_answer_that_drips_takes_no_longer_than_a_call_may() -> None:
    hung_up = threading.Event()

    def respond(request: Request) -> None:
        request.send(BEGINNING)
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                request.wfile.write(b"x")
                threading.Event().wait(0.01)
        except OSError:
            hung_up.set()

    with serve(respond) as port:
        assert ask(port, timeout=0.2)[0].status in ("timeout", "unavailable")
        assert hung_up.wait(10)


def test_control_characters_of_an_answer_become_spaces_and_are_marked() -> None:
    with serve(lambda request: request.send(completion("Pa\0ris\x1b[2J\u009b and\x07 more"))) as port:
        (outcome,) = ask(port)
    assert (outcome.status, outcome.result, outcome.note) == ("ok", "Pa ris (2J and more", "cleaned")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Please log in</html>",
        b"[" * 10_000,
        b'{"choices": "none"}',
        b'{"choices": [1]}',
        b'{"choices": [{"message": null}]}',
        b"\xff\xfe\x00",
        completion(["a", "b"]),
        completion({"a": 1}),
        BEGINNING,
    ],
)
def test_what_is_no_answer_of_a_chat_model_is_unavailable(content: bytes) -> None:
    with serve(lambda request: request.send(content)) as port:
        assert [outcome.status for outcome in ask(port)] == ["unavailable"]


@pytest.mark.parametrize("content", [b'{"choices": []}', completion(None), completion("")])
def test_no_answer_is_empty(content: bytes) -> None:
    with serve(lambda request: request.send(content)) as port:
        assert [outcome.status for outcome in ask(port)] == ["empty"]


def test_a_redirect_is_not_followed() -> None:
    seen: list[str] = []

    def elsewhere(request: Request) -> None:
        seen.append(request.path)
        request.send(completion("stolen"))

    with (
        serve(elsewhere) as other,
        serve(lambda request: request.send(b"", status=307, Location=f"http://127.0.0.1:{other}/")) as port,
    ):
        assert [outcome.status for outcome in ask(port)] == ["unavailable"]
    assert seen == []


@pytest.mark.parametrize(("retry_after", "num_asked"), [("0", 2), ("1e9", 1), ("soon", 2), ("nan", 2), ("-5", 2)])
def test_whatever_a_backend_says_about_when_to_come_back_a_call_ends(retry_after: str, num_asked: int) -> None:
    seen: list[str] = []

    def respond(request: Request) -> None:
        seen.append(request.path)
        request.send(b"", status=429, Retry_After=retry_after)

    with serve(respond) as port:
        assert [outcome.status for outcome in ask(port)] == ["unavailable"]
    assert len(seen) == num_asked


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_key_that_an_endpoint_says_back_is_in_no_row_no_log_and_no_recording(
    status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def respond(request: Request) -> None:
        said = f"your {request.headers['Authorization']} and {request.path}"
        content = completion(said) if status == 200 else json.dumps({"error": {"message": said}}).encode()
        request.send(content, status=status)

    with caplog.at_level(logging.DEBUG), serve(respond) as port:
        (outcome,) = ask(port, store=tmp_path)
    assert (outcome.status == "ok") == (status == 200)
    files = "".join(path.read_text() for path in tmp_path.rglob("*.json"))
    assert "Who?" in files
    assert KEY not in repr(outcome) + files + "".join(map(caplog.handler.format, caplog.records))


@pytest.mark.parametrize("url", ["http://ann:pw@host/v1", f"https://{KEY}@host", f"https://host/v1?api_key={KEY}"])
def test_a_url_that_holds_a_key_is_refused_without_repeating_it_since_libraries_log_urls(url: str) -> None:
    with pytest.raises(ValueError, match="`qa.endpoint_url` holds a user name, a key or a query") as caught:
        QuestionAnsweringOptions(endpoint_url=url, model="m")
    assert url not in str(caught.value)


def test_a_key_given_where_its_name_belongs_is_refused_without_repeating_it() -> None:
    with pytest.raises(ValueError, match="takes the name of a variable, such as OPENAI_API_KEY, not the key") as caught:
        QuestionAnsweringOptions(endpoint_url="http://localhost", model="m", api_key_variable=KEY)
    assert KEY not in str(caught.value)
