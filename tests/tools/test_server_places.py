"""Tools behind servers by place: `mcp:NAME`, one of its tools, `http:NAME`, and another file than the usual one."""

import pickle
import sys
from pathlib import Path

import pytest

from tests.support.http_endpoint import serve
from tests.support.tool_servers import UNITS, write_file
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.brought.from_server import with_file
from toolformer_ray.tools.brought.places import resolve_place, resolve_tools
from toolformer_ray.tools.servers.call_names import names_in_calls
from toolformer_ray.tools.servers.mcp_session import close_sessions
from toolformer_ray.tools.tool import CallContext


def test_the_tools_of_a_server_travel_as_data_and_are_asked_elsewhere(tmp_path: Path) -> None:
    told = {"command": sys.executable, "args": [UNITS], "tools": ["convert", "environment"], "timeout": 7}
    file = write_file(tmp_path, {"mcp.units": told})
    keys, brought = resolve_tools([f"mcp:units@{file}"])
    close_sessions()
    assert keys == ("convert", "environment")
    tool = pickle.loads(pickle.dumps(brought["convert"])).load()  # noqa: S301  as workers are sent it
    assert (tool.name, tool.description, tool.asking.timeout) == ("Convert", "Converts a length to metres.", 7)
    assert tool.source and tool.source == brought["convert"].load().source
    assert "[Convert(amount=12)]" in tool.demonstrations[0]
    opened = tool()
    opened.open()
    assert opened.run('26, unit="m"', CallContext()) == "26 m"
    assert [one.key for one in resolve_place(brought["convert"].place)] == ["convert"]
    close_sessions()


def test_an_operation_over_http_is_a_tool_by_its_name_in_the_file(tmp_path: Path) -> None:
    with serve(lambda request: request.send(request.path.encode())) as port:
        told = {"url": f"http://127.0.0.1:{port}/v1/{{city}}", "description": "Gives the weather of a city"}
        file = write_file(tmp_path, {"http.city-weather": told})
        (brought,) = resolve_place(f"http:city-weather@{file}")
        tool = brought.load()()
        tool.open()
        assert (brought.key, tool.name) == ("city_weather", "CityWeather")
        assert tool.run("Rome", CallContext()) == "/v1/Rome"


def test_the_file_is_named_in_one_place_for_all_tools() -> None:
    written = ["calculator", "mcp:units", "http:weather", "mcp:units:convert@a.toml", "package.module:Units"]
    assert with_file(written, None) == written
    assert with_file(written, "b.toml") == [
        *("calculator", "mcp:units@b.toml", "http:weather@b.toml", "mcp:units:convert@a.toml", "package.module:Units")
    ]


def test_what_names_no_tool_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnusableError, match=r"^tool_servers is tool_servers\.toml; there is no such file"):
        resolve_place("mcp:units")
    told = {"command": sys.executable, "args": [UNITS], "names": {"convert": "Calculator"}}
    write_file(tmp_path, {"mcp.units": told})
    with pytest.raises(UnusableError, match=r"^mcp:units:conv: tool_servers\.toml: mcp\.units allows no tool 'conv'"):
        resolve_place("mcp:units:conv")
    with pytest.raises(UnusableError, match=r"^mcp:units:convert: there is a tool calculator already"):
        resolve_place("mcp:units:convert")
    close_sessions()


def test_names_in_calls_are_words_of_the_servers_names_and_two_alike_are_refused() -> None:
    assert names_in_calls(["get-weather", "units.convert_to"], "f", {}) == {
        "get-weather": "GetWeather",
        "units.convert_to": "UnitsConvertTo",
    }
    assert names_in_calls(["get-weather"], "f", {"get-weather": "Weather"}) == {"get-weather": "Weather"}
    with pytest.raises(UnusableError, match=r"^f: 'get-it' and 'get_it' would both be GetIt in calls"):
        names_in_calls(["get-it", "get_it"], "f", {})
    for bad in ("", "42", "天気", "x" * 100, "[]\n"):
        with pytest.raises(UnusableError, match="^f: of the name"):
            names_in_calls([bad], "f", {})
    with pytest.raises(UnusableError, match="cannot be a name in a call"):
        names_in_calls(["get-it"], "f", {"get-it": "get it](x"})
