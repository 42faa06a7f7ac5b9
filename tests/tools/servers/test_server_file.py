"""The file that tells of servers: what is read, and what is refused in one line with the file and the key."""

from pathlib import Path

import pytest

from tests.support.tool_servers import write_file
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.servers.from_environment import resolve, secrets, without
from toolformer_ray.tools.servers.server_file import HttpOperation, McpServer, read_server

SECRET = "sk-do-not-tell-0123456789"  # noqa: S105  nobody's


def refusal(path: str, kind: str = "mcp", name: str = "units") -> str:
    with pytest.raises(UnusableError) as caught:
        read_server(path, kind, name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_program_and_a_url_are_read_with_what_may_be_asked_there(tmp_path: Path) -> None:
    path = write_file(
        tmp_path,
        {
            "mcp.units": {"command": "units-server", "args": ["-q"], "environment": ["PATH"], "tools": ["convert"]},
            "mcp.far": {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${KEY}"}, "timeout": 5},
            "http.weather": {"url": "https://example.org/{city}", "description": "Weather.", "answer": "/now"},
        },
    )
    units = read_server(path, "mcp", "units")
    assert isinstance(units, McpServer)
    assert (units.command, units.args, units.environment, units.tools) == (
        "units-server",
        ("-q",),
        ("PATH",),
        ("convert",),
    )
    assert not units.allow_writing
    far = read_server(path, "mcp", "far")
    assert isinstance(far, McpServer)
    assert (far.url, dict(far.headers), far.timeout) == (
        "https://example.org/mcp",
        {"Authorization": "Bearer ${KEY}"},
        5.0,
    )
    weather = read_server(path, "http", "weather")
    assert isinstance(weather, HttpOperation)
    assert (weather.url, weather.answer) == ("https://example.org/{city}", "/now")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"comand": "x"}, "mcp.units.comand is not known; choose among command, args"),
        ({}, "mcp.units needs one of `command` and `url`"),
        ({"command": "x", "url": "http://h"}, "mcp.units needs one of `command` and `url`"),
        ({"command": 3}, "mcp.units.command has to be a text"),
        ({"command": "x", "args": "y"}, "mcp.units.args has to be a list of texts"),
        ({"command": "x", "allow_writing": "yes"}, "mcp.units.allow_writing has to be true or false"),
        ({"command": "x", "timeout": "soon"}, "mcp.units.timeout has to be a number"),
        ({"command": "x", "timeout": 0}, "mcp.units.timeout is 0.0; it must be more than 0 seconds"),
        ({"command": "x", "headers": {"A": "${B}"}}, "mcp.units.headers is for a `url`"),
        ({"url": "http://h", "args": ["x"]}, "mcp.units has a `url`; leave out `args`"),
        ({"url": "ftp://h"}, "mcp.units.url has to begin with http:// or https://"),
        ({"url": "http://h", "headers": 3}, "mcp.units.headers has to be a table"),
    ],
)
def test_what_cannot_be_used_is_told_with_the_file_and_the_key(tmp_path: Path, table: dict, said: str) -> None:
    path = write_file(tmp_path, {"mcp.units": table})
    assert refusal(path).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"command": "x", "environment": [f"KEY={SECRET}"]}, "environment takes names of variables"),
        ({"url": "http://h", "headers": {"Authorization": f"Bearer {SECRET}"}}, "headers.Authorization has to be"),
        ({"url": f"http://u:{SECRET}@h/mcp"}, "url holds a user name, a key or a query"),
        ({"url": f"http://h/mcp?key={SECRET}"}, "url holds a user name, a key or a query"),
    ],
)
def test_a_key_in_the_file_is_refused_and_not_repeated(tmp_path: Path, table: dict, said: str) -> None:
    line = refusal(write_file(tmp_path, {"mcp.units": table}))
    assert said in line
    assert SECRET not in line


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"description": "x"}, "needs one of `url` and `openapi`"),
        ({"url": "http://h"}, "description is missing"),
        ({"openapi": "x.json"}, "needs both `openapi` and `operation`"),
        ({"openapi": "x.json", "operation": "a", "parameters": {"b": {}}}, "parameters is for a `url`"),
        ({"url": "http://h", "description": "x", "answer": "now"}, "answer is 'now'; a JSON pointer begins with /"),
        ({"url": "http://h", "description": "x", "query": {"key": SECRET}}, "query.key has to be"),
    ],
)
def test_an_operation_that_is_told_of_in_part_is_refused(tmp_path: Path, table: dict, said: str) -> None:
    line = refusal(write_file(tmp_path, {"http.weather": table}), "http", "weather")
    assert said in line
    assert SECRET not in line


def test_a_name_that_the_file_does_not_have_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    path = write_file(tmp_path, {"mcp.units": {"command": "x"}, "http.weather": {"url": "http://h"}})
    assert (
        refusal(path, "mcp", "unit")
        == f"tools is mcp:unit; {path} does not tell of it; it tells of mcp:units, http:weather"
    )
    assert "there is no such file" in refusal(str(tmp_path / "other.toml"))
    (tmp_path / "bad.toml").write_text("[mcp.units")
    assert "cannot be read as TOML" in refusal(str(tmp_path / "bad.toml"))
    (tmp_path / "more.toml").write_text("[servers.units]\ncommand = 'x'")
    assert "servers is not known" in refusal(str(tmp_path / "more.toml"))


def test_a_variable_is_read_where_it_is_needed_and_removed_from_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNITS_KEY", SECRET)
    assert resolve("Bearer ${UNITS_KEY}", "f: mcp.units.headers.A") == f"Bearer {SECRET}"
    assert without(f"no {SECRET}!", secrets(["Bearer ${UNITS_KEY}", "${UNITS_NONE}"])) == "no ***!"
    with pytest.raises(UnusableError, match=r"^f: x names the variable UNITS_NONE, which is not set"):
        resolve("${UNITS_NONE}", "f: x")
    monkeypatch.setenv("UNITS_KEY", "a\r\nHost: other")
    with pytest.raises(UnusableError, match="whose value has a line break"):
        resolve("${UNITS_KEY}", "f: x")
