"""Question answering by a table and by an endpoint, and the choice between backends."""

import json
from pathlib import Path

import pytest

from tests.support.http_endpoint import Request, completion, serve
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
    seen: list[Request] = []

    def respond(request: Request) -> None:
        seen.append(request)
        request.send(completion("Paris"))

    with serve(respond) as port:
        tool = open_endpoint(port, "SOME_KEY")
        assert tool.run('"What is the capital of France?"', CallContext()) == "Paris"
    ((path, authorization, body),) = [(one.path, one.headers["Authorization"], json.loads(one.body)) for one in seen]
    assert (path, authorization) == ("/v1/chat/completions", "Bearer secret")
    assert (body["model"], body["temperature"]) == ("tiny", 0)
    assert body["messages"][-1] == {"role": "user", "content": "What is the capital of France?"}
    assert "secret" not in repr(tool.options)


@pytest.mark.parametrize(("reply", "answer"), [("unknown", ""), ("Unknown.", ""), ("", ""), (" Lyon\n", "Lyon")])
def test_an_endpoint_that_does_not_know_gives_no_answer(reply: str, answer: str) -> None:
    with serve(lambda request: request.send(completion(reply))) as port:
        assert open_endpoint(port).run("Who?", CallContext()) == answer


@pytest.mark.parametrize("status", [400, 401, 404])
def test_an_endpoint_that_refuses_or_is_not_there_is_unavailable(status: int) -> None:
    refusal = b'{"error": {"message": "no"}}'
    with serve(lambda request: request.send(refusal, status)) as port, pytest.raises(Unavailable, match="127.0.0.1"):
        open_endpoint(port).run("Who?", CallContext())
    with pytest.raises(Unavailable):
        open_endpoint(port).run("Who?", CallContext())


def test_a_key_that_is_not_in_the_environment_is_named_when_the_tool_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ValueError, match="^qa.api_key_variable is SOME_KEY; it is not set"):
        open_endpoint(1, "SOME_KEY")
