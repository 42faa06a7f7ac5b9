"""Question answering by a table and by an endpoint, and the choice between backends."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from toolformer_ray.tools.qa import QuestionAnswering, QuestionAnsweringOptions
from toolformer_ray.tools.tool import BadInput, CallContext, Unavailable

NAMES = [f"{first}{last}" for first in ("Ba", "Do", "Ki", "Lu", "Me", "Ra") for last in ("dor", "gan", "lim", "pos")]
KNOWN = [(f"Who built the lighthouse of {name}?", f"builder of {name}") for name in NAMES]
KNOWN += [(f"Who wrote the song of {name}?", f"writer of {name}") for name in NAMES[:3]]


def write_table(path: Path, rows: list[tuple[str, object]]) -> str:
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    return str(path)


def open_table(path: str, **options: float) -> QuestionAnswering:
    tool = QuestionAnswering(QuestionAnsweringOptions(table=path, **options))
    tool.open()
    return tool


@pytest.fixture
def table(tmp_path: Path) -> str:
    return write_table(tmp_path / "table.jsonl", [*KNOWN, ("Where was Joe Biden born?", ["Scranton", "Pennsylvania"])])


@pytest.mark.paper("T2")
def test_a_table_answers_every_question_that_it_knows(table: str) -> None:
    tool = open_table(table, min_similarity=0.99)
    for question, answer in KNOWN:
        assert tool.run(f'"{question}"', CallContext()) == answer


def test_a_table_answers_a_question_in_other_words(table: str) -> None:
    tool = open_table(table)
    assert tool.run("In which city was Joe Biden born", CallContext()) == "Scranton"
    assert tool.run("Kidor lighthouse, who built the?", CallContext()) == "builder of Kidor"


def test_a_table_does_not_answer_what_only_looks_like_a_question_that_it_knows(table: str) -> None:
    tool = open_table(table)
    assert tool.run("Who built the lighthouse of Nowhere?", CallContext()) == ""
    assert tool.run("What is the capital of France?", CallContext()) == ""
    assert tool.run("Ouagadougou?", CallContext()) == ""


def test_the_threshold_decides_how_alike_questions_have_to_be(table: str) -> None:
    asked = "Who built the lighthouse of Nowhere?"
    assert open_table(table, min_similarity=0.05).run(asked, CallContext()) != ""
    assert open_table(table, min_similarity=1.0).run(asked, CallContext()) == ""


def test_of_two_equal_questions_the_first_counts(tmp_path: Path) -> None:
    rows: list[tuple[str, object]] = [("Who?", "first"), ("Who?", "second"), ("When?", "now")]
    assert open_table(write_table(tmp_path / "table.jsonl", rows)).run("Who?", CallContext()) == "first"


@pytest.mark.parametrize("question", ["", '""', "  ", "why " * 1_000])
def test_refuses_an_empty_and_an_endless_question(table: str, question: str) -> None:
    with pytest.raises(BadInput):
        open_table(table).run(question, CallContext())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "some/reader"},
        {"index": "folder"},
        {"endpoint_url": "http://localhost"},
        {"table": "a.jsonl", "model": "some/reader"},
        {"table": "a.jsonl", "index": "folder", "model": "some/reader"},
        {"index": "folder", "endpoint_url": "http://localhost", "model": "some/reader"},
    ],
)
def test_names_the_options_where_no_backend_or_more_than_one_is_chosen(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="QA needs one of: `qa.table` FILE; `qa.index` FOLDER with `qa.model`"):
        QuestionAnswering(QuestionAnsweringOptions(**options))  # type: ignore[arg-type]


def test_names_the_option_of_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.jsonl")
    tool = QuestionAnswering(QuestionAnsweringOptions(table=missing))
    for use in (tool.open, tool.data_version):
        with pytest.raises(ValueError, match=f"^qa.table is {missing}; "):
            use()
    with pytest.raises(ValueError, match="holds no questions"):
        open_table(write_table(tmp_path / "empty.jsonl", []))


class Endpoint(ThreadingHTTPServer):
    """A chat endpoint on this machine's loopback that answers every question with `reply` or fails with `status`."""

    daemon_threads = True
    reply = "Paris"
    status = 200
    seen: list[tuple[str, str, dict[str, object]]]


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, self.headers["Authorization"], body))
        message = {"role": "assistant", "content": self.server.reply}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        completion = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        answer = completion if self.server.status == 200 else {"error": {"message": "no"}}
        content = json.dumps(answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
        pass


@contextmanager
def serve(reply: str = "Paris", status: int = 200) -> Iterator[Endpoint]:
    server = Endpoint(("127.0.0.1", 0), Handler)
    server.reply, server.status, server.seen = reply, status, []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def open_endpoint(port: int, api_key_variable: str | None = None) -> QuestionAnswering:
    tool = QuestionAnswering(
        QuestionAnsweringOptions(
            endpoint_url=f"http://127.0.0.1:{port}/v1",
            model="tiny",
            api_key_variable=api_key_variable,
        )
    )
    tool.open()
    return tool


@pytest.mark.paper("T2")
def test_an_endpoint_is_asked_the_question_with_the_model_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "secret")
    with serve() as server:
        tool = open_endpoint(server.server_port, "SOME_KEY")
        assert tool.run('"What is the capital of France?"', CallContext()) == "Paris"
    ((path, authorization, body),) = server.seen
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert body["model"] == "tiny"
    assert body["temperature"] == 0
    assert body["messages"][-1] == {"role": "user", "content": "What is the capital of France?"}  # type: ignore[index]
    assert "secret" not in repr(tool.options)


@pytest.mark.parametrize(("reply", "answer"), [("unknown", ""), ("Unknown.", ""), ("", ""), (" Lyon\n", "Lyon")])
def test_an_endpoint_that_does_not_know_gives_no_answer(reply: str, answer: str) -> None:
    with serve(reply) as server:
        assert open_endpoint(server.server_port).run("Who?", CallContext()) == answer


@pytest.mark.parametrize("status", [400, 401, 404])
def test_an_endpoint_that_refuses_is_unavailable(status: int) -> None:
    with serve(status=status) as server, pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        open_endpoint(server.server_port).run("Who?", CallContext())


def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    with serve() as server:
        port = server.server_port
    with pytest.raises(Unavailable):
        open_endpoint(port).run("Who?", CallContext())


def test_a_key_that_is_not_in_the_environment_is_named_when_the_tool_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ValueError, match="^qa.api_key_variable is SOME_KEY; it is not set"):
        open_endpoint(1, "SOME_KEY")
