"""Tools that are an operation over HTTP: what is sent, what comes of the answer, and what a server cannot do."""

import json
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_endpoint import Request, serve
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.asking.call import Outcome
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.servers.http_declaration import of_template
from toolformer_ray.tools.servers.http_tool import make_http_tool
from toolformer_ray.tools.servers.openapi import of_document
from toolformer_ray.tools.servers.server_file import HttpOperation
from toolformer_ray.tools.tool import Tool, answer_fingerprint

KEY = "key-do-not-tell-0123456789"
MEGABYTE = 1_000_000


def operation(**told: Any) -> HttpOperation:
    return HttpOperation(name="weather", file="f", **told)


def weather(port: int, **more: Any) -> Tool:
    told = {
        "url": f"http://127.0.0.1:{port}/v1/{{city}}?units={{units}}",
        "description": "Gives the weather of a city.",
        "parameters": {"units": {"enum": ["metric", "imperial"], "default": "metric"}},
    }
    return make_http_tool(of_template(operation(**told | more)), "Weather")()


def ask(tool: Tool, *inputs: str, timeout: float = 20.0) -> list[Outcome]:
    tool.asking = Asking(timeout=timeout, max_retries=1)
    tool.open()
    executor = ToolExecutor({tool.name: tool}, first_retry_delay=0.0)
    return executor.run([(tool.name, one, None) for one in inputs])


def test_arguments_are_checked_and_sent_and_the_answer_is_what_the_pointer_leads_to() -> None:
    seen: list[str] = []

    def respond(request: Request) -> None:
        seen.append(request.path)
        request.send(json.dumps({"now": [{"text": "Sunny, [25 °C]\n"}]}).encode(), Content_Type="application/json")

    with serve(respond) as port:
        outcomes = ask(
            weather(port, answer="/now/0/text"), 'city="São Paulo", units="metric"', '"Rome"', '"x", "kelvin"'
        )
    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "bad_input"]
    assert outcomes[0].result == "Sunny, (25 °C)"
    assert sorted(seen) == ["/v1/Rome", "/v1/S%C3%A3o%20Paulo?units=metric"]


@pytest.mark.parametrize(
    ("content", "pointer", "result"),
    [
        (b"  25 degrees\n", None, "25 degrees"),
        (b'{"a/b": {"c~d": 1.50}}', "/a~1b/c~0d", "1.5"),
        (b'{"a": true}', "/a", "true"),
        (b'{"a": {"b": ["x", 1]}}', "/a", '{"b": ("x", 1)}'),
        (b'{"a": null}', "/a", None),
        (b'{"a": 1}', "/b/c", None),
        (b"[1, 2]", "/1", "2"),
        (b"[1, 2]", "/-1", None),
        (b'{"a": ""}', "/a", None),
    ],
)
def test_the_result_is_the_text_or_the_part_that_was_named(content: bytes, pointer: str | None, result: str) -> None:
    with serve(lambda request: request.send(content)) as port:
        (outcome,) = ask(weather(port, answer=pointer), '"Rome"')
    assert (outcome.status, outcome.result) == ("ok" if result else "empty", result)


@pytest.mark.parametrize(
    ("status", "ends_as", "times"),
    [
        (204, "empty", 1),
        (404, "empty", 1),
        (400, "bad_input", 1),
        (422, "bad_input", 1),
        (405, "crashed", 1),
        (401, "unavailable", 2),
        (429, "unavailable", 2),
        (500, "unavailable", 2),
        (302, "unavailable", 2),
    ],
)
def test_the_status_of_an_answer_is_one_of_ours(status: int, ends_as: str, times: int) -> None:
    seen: list[str] = []

    def respond(request: Request) -> None:
        seen.append(request.path)
        request.send(b"", status=status, Location="/elsewhere")

    with serve(respond) as port:
        assert [outcome.status for outcome in ask(weather(port), '"Rome"')] == [ends_as]
    assert seen == ["/v1/Rome"] * times


def test_a_key_is_sent_and_is_in_no_row_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WEATHER_KEY", KEY)
    seen: list[str] = []

    def respond(request: Request) -> None:
        seen.append(f"{request.headers['Authorization']} {request.path}")
        request.send(seen[-1].encode(), status=200 if "Rome" in request.path else 500)

    with serve(respond) as port, caplog.at_level(logging.DEBUG):
        tool = weather(port, headers={"Authorization": "Bearer ${WEATHER_KEY}"}, query={"appid": "${WEATHER_KEY}"})
        outcomes = ask(tool, '"Rome"', '"Oslo"')
    assert f"Bearer {KEY} /v1/Rome?appid={KEY}" in seen
    assert outcomes[0].result == "Bearer *** /v1/Rome?appid=***"
    assert KEY not in repr(outcomes) + "".join(map(caplog.handler.format, caplog.records))
    monkeypatch.delenv("WEATHER_KEY")
    with pytest.raises(UnusableError, match=r"^f: http\.weather\.headers\.Authorization names the variable"):
        tool.open()


def test_an_answer_without_end_is_cut_or_left_and_nobody_waits_for_it() -> None:
    num_sent = [0]

    def respond(request: Request) -> None:
        request.send(b'{"now": "sunny ')
        for _ in range(100):
            request.wfile.write(b"x" * MEGABYTE)
            num_sent[0] += MEGABYTE

    with serve(respond) as port:
        (outcome,) = ask(weather(port, answer="/now"), '"Rome"')
    assert (outcome.status, outcome.note) == ("ok", "cut")
    assert (outcome.result or "").startswith("sunny xxx")
    assert num_sent[0] < 50 * MEGABYTE


def test_an_answer_that_drips_takes_no_longer_than_a_call_may() -> None:
    released = threading.Event()

    def respond(request: Request) -> None:
        request.send(b"{")
        released.wait(20)

    with serve(respond) as port:
        assert ask(weather(port), '"Rome"', timeout=0.3)[0].status in ("timeout", "unavailable")
        released.set()


@pytest.mark.parametrize("content", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe", b'{"now"'])
def test_what_is_no_json_where_a_part_of_it_is_wanted_is_a_crash(content: bytes) -> None:
    with serve(lambda request: request.send(content)) as port:
        assert [outcome.status for outcome in ask(weather(port, answer="/now"), '"Rome"')] == ["crashed"]


def test_what_the_file_says_is_part_of_what_identifies_an_answer() -> None:
    prints = {answer_fingerprint(weather(80, **more)) for more in ({}, {"answer": "/now"}, {"parameters": {}})}
    assert len(prints) == 3
    assert answer_fingerprint(weather(80)) == answer_fingerprint(weather(80, timeout=3.0))


def test_parameters_that_the_template_does_not_have_are_refused() -> None:
    with pytest.raises(UnusableError, match=r"^f: http\.weather\.parameters\.town is not in the url, which has city"):
        of_template(operation(url="http://h/{city}", description="x", parameters={"town": {}}))


def document(**more: Any) -> dict[str, Any]:
    """An OpenAPI document with an operation that has an argument in each place, and one that writes."""
    city = {"name": "city", "in": "path", "required": True, "schema": {"$ref": "#/components/schemas/City"}}
    days = {"name": "days-ahead", "in": "query", "description": "How far.", "schema": {"type": "integer", "maximum": 9}}
    unit = {"name": "X-Unit", "in": "header", "schema": {"type": "string"}}
    fields = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Report"}}}}
    paths: Mapping[str, Any] = {
        "/weather/{city}": {
            "parameters": [{"$ref": "#/components/parameters/City"}],
            "get": {"operationId": "forecast", "summary": "Tells the weather.", "parameters": [days, unit]},
            "post": {"operationId": "report", "summary": "Notes the weather.", "requestBody": body},
        }
    }
    return {
        "openapi": "3.1.0",
        "servers": [{"url": "/v2"}],
        "paths": paths,
        "components": {
            "parameters": {"City": city},
            "schemas": {"City": {"type": "string", "maxLength": 40}, "Report": fields},
        },
    } | more


def test_an_operation_of_a_document_is_asked_where_the_document_says() -> None:
    seen: list[tuple[str, str, str | None, bytes]] = []

    def respond(request: Request) -> None:
        if request.path == "/openapi.json":
            request.send(json.dumps(document()).encode())
            return
        seen.append((request.command, request.path, request.headers["X-Unit"], request.body))
        request.send(b"sunny")

    with serve(respond) as port:
        url = f"http://127.0.0.1:{port}/openapi.json"
        forecast = make_http_tool(of_document(operation(openapi=url, operation="forecast")), "Forecast")
        told = operation(openapi=url, operation="report", allow_writing=True)
        report = make_http_tool(of_document(told), "Report")
        assert forecast.description == "Tells the weather."
        assert forecast.schema is not None
        assert forecast.schema["required"] == ["city"]
        assert forecast.schema["properties"]["days_ahead"]["description"] == "How far."
        (outcome, *refused) = ask(
            forecast(),
            'city="Rome", days_ahead=3, X_Unit="C"',
            'city="Rome", days_ahead=12',
            'city="Rome", X_Unit="C\\n"',
        )
        assert outcome.result == "sunny"
        assert [one.status for one in refused] == ["bad_input", "bad_input"]
        assert ask(report(), 'city="Rome", text="rain"')[0].status == "ok"
    assert seen == [
        ("GET", "/v2/weather/Rome?days-ahead=3", "C", b""),
        ("POST", "/v2/weather/Rome", None, b'{"text": "rain"}'),
    ]


@pytest.mark.parametrize(
    ("content", "told", "said"),
    [
        (None, {}, "openapi cannot be read as JSON: "),
        ("openapi: 3.0.0", {}, "openapi cannot be read as JSON: "),
        ("[" * 100_000, {}, "openapi cannot be read as JSON: "),
        ({"swagger": "2.0"}, {}, "openapi is no OpenAPI document of version 3, as JSON"),
        (document(), {"operation": "forcast"}, "operation is 'forcast'; the document has forecast, report"),
        (document(), {"operation": "report"}, "operation is a POST, which may write"),
        (document(), {}, "base_url is missing; the document does not say where it is asked"),
        (document(servers=[{"url": "https://{region}.h"}]), {}, "base_url is missing"),
        (document(components={}), {}, "openapi has a reference that leads to nothing in the document"),
    ],
)
def test_a_document_that_cannot_be_used_is_one_line_with_the_file_and_the_key(
    tmp_path: Path, content: Any, told: dict[str, Any], said: str
) -> None:
    path = tmp_path / "openapi.json"
    if content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UnusableError) as caught:
        of_document(operation(**{"openapi": str(path), "operation": "forecast"} | told))
    assert str(caught.value).startswith(f"f: http.weather.{said}")
    assert "\n" not in str(caught.value)
