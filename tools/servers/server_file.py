"""The file that tells of servers (TOML): which there are, how they are reached, which of their tools may be asked.

    [mcp.units]                                        # --tools mcp:units
    command = "npx"                                    # or url = "https://example.org/mcp"
    args = ["-y", "@example/units-server"]
    environment = ["PATH", "HOME", "UNITS_KEY"]        # all that the program sees of this environment
    tools = ["convert"]                                # by default all that say that they only read

    [http.weather]                                     # --tools http:weather
    url = "https://api.example.org/v1/{city}?units={units}"
    description = "Gives the weather of a city."
    headers = { Authorization = "Bearer ${WEATHER_KEY}" }
    answer = "/current/summary"
    parameters.city = { type = "string", description = "The city." }
    parameters.units = { enum = ["metric", "imperial"] }

A key that is not known, or not of its type, is refused by its name.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolformer_ray.records.errors import OptionError, UnusableError, one_line
from toolformer_ray.records.locations import without_keys
from toolformer_ray.tools.servers.from_environment import VARIABLE_NAME, is_reference

DEFAULT_FILE = "tool_servers.toml"
LARGEST_FILE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class McpServer:
    """An MCP server: a program that is started, or a URL that is asked over streamable HTTP."""

    name: str
    file: str
    """Where it is told of, for messages."""
    command: str | None = None
    """The program; found as a shell would find it."""
    args: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    """Names of the variables that the program is given; it sees no other."""
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Per header of a request, `${VARIABLE}` with a scheme before it where it has one."""
    tools: tuple[str, ...] | None = None
    """The tools that may be asked, by the server's names; None for all that may."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Per tool the name that it has in calls, where it is not to be made of the server's."""
    allow_writing: bool = False
    """Whether tools that do not say that they only read may be asked too."""
    timeout: float | None = None
    """Seconds that a call may take; by default as for every tool."""
    start_timeout: float = 30.0
    """Seconds in which the server has to be ready and to have told its tools."""

    def __post_init__(self) -> None:
        where = self.where
        if (self.command is None) == (self.url is None):
            raise UnusableError(f"{where} needs one of `command` and `url`")
        if self.url is None and self.headers:
            raise UnusableError(f"{where}.headers is for a `url`; a program is given `environment`")
        if self.url is not None and (self.args or self.environment):
            raise UnusableError(f"{where} has a `url`; leave out `args` and `environment`, which are for a `command`")
        if not all(isinstance(name, str) for name in self.names.values()):
            raise UnusableError(f"{where}.names has to be a table of names")
        _check_times(self, where)
        _check_url(self.url, f"{where}.url")
        _check_references(self.headers, f"{where}.headers")
        for name in self.environment:
            if not VARIABLE_NAME.fullmatch(name):
                # The message does not repeat the value, which may be a secret.
                raise UnusableError(f"{where}.environment takes names of variables, such as API_KEY, not values")

    @property
    def where(self) -> str:
        """The table of the file."""
        return f"{self.file}: mcp.{self.name}"


@dataclass(frozen=True, kw_only=True)
class HttpOperation:
    """One operation over HTTP: a template of URLs, or an operation of an OpenAPI document."""

    name: str
    file: str
    url: str | None = None
    """A template, whose parameters stand in braces."""
    openapi: str | None = None
    """The document, as a file or a URL."""
    operation: str | None = None
    """With a document: the `operationId`."""
    base_url: str | None = None
    """With a document: where its paths are asked, if not where the document says."""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """With a template: the JSON schema of each parameter."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    """Further parameters of the query, such as a key: `${VARIABLE}`."""
    answer: str | None = None
    """JSON pointer to the part of the answer that is the result; by default all of it."""
    allow_writing: bool = False
    """Whether an operation other than GET may be asked."""
    timeout: float | None = None

    def __post_init__(self) -> None:
        where = self.where
        if (self.url is None) == (self.openapi is None):
            raise UnusableError(f"{where} needs one of `url` and `openapi`")
        if (self.openapi is None) != (self.operation is None):
            raise UnusableError(f"{where} needs both `openapi` and `operation`, the operationId, or neither")
        if self.url is not None and not self.description:
            raise UnusableError(f"{where}.description is missing; models are told by it what the tool does")
        if self.openapi is not None and self.parameters:
            raise UnusableError(f"{where}.parameters is for a `url`; the OpenAPI document has its own")
        if self.answer is not None and self.answer and not self.answer.startswith("/"):
            raise UnusableError(f"{where}.answer is {self.answer!r}; a JSON pointer begins with /")
        _check_times(self, where)
        _check_url(self.base_url, f"{where}.base_url")
        _check_references(self.headers, f"{where}.headers")
        _check_references(self.query, f"{where}.query")

    @property
    def where(self) -> str:
        """The table of the file."""
        return f"{self.file}: http.{self.name}"


_KINDS: Mapping[str, type[McpServer] | type[HttpOperation]] = {"mcp": McpServer, "http": HttpOperation}


def read_server(path: str, kind: str, name: str) -> McpServer | HttpOperation:
    """What the file tells of `mcp:NAME` or `http:NAME`.

    Raises OptionError for a file that is unusable, and UnusableError with the file and the key for what is in it.
    """
    tables = _read_tables(path)
    told = tables.get(kind, {})
    if name not in told:
        known = ", ".join(f"{other}:{one}" for other in _KINDS for one in tables.get(other, {})) or "none"
        raise OptionError("tools", f"{kind}:{name}", f"{path} does not tell of it; it tells of {known}")
    where, table = f"{path}: {kind}.{name}", told[name]
    record = _KINDS[kind]
    if not isinstance(table, dict):
        raise UnusableError(f"{where} is no table")
    return record(name=name, file=path, **_typed(table, record, where))


def _read_tables(path: str) -> dict[str, dict[str, Any]]:
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise OptionError("tool_servers", path, f"it is larger than {LARGEST_FILE} bytes")
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise OptionError("tool_servers", path, "there is no such file; docs/tools.md says what is in it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise OptionError("tool_servers", path, f"it cannot be read as TOML: {one_line(error)}") from error
    for key, told in tables.items():
        if key not in _KINDS or not isinstance(told, dict):
            raise UnusableError(f"{path}: {key} is not known; there are the tables mcp.NAME and http.NAME")
    return tables


def _typed(table: Mapping[str, Any], record: type, where: str) -> dict[str, Any]:
    """The values of a table, each of the type of its field."""
    hints = typing.get_type_hints(record)
    known = [one.name for one in dataclasses.fields(record) if one.name not in ("name", "file")]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise UnusableError(f"{where}.{key} is not known; choose among {', '.join(known)}")
        values[key] = _as(value, hints[key], f"{where}.{key}")
    return values


def _as(value: Any, hint: Any, where: str) -> Any:
    hints = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if tuple[str, ...] in hints:
        if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
            return tuple(value)
        raise UnusableError(f"{where} has to be a list of texts")
    if float in hints and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if bool in hints or str in hints:
        wanted, said = (bool, "true or false") if bool in hints else (str, "a text")
        if isinstance(value, wanted):
            return value
        raise UnusableError(f"{where} has to be {said}")
    if isinstance(value, dict):
        return value
    raise UnusableError(f"{where} has to be {'a number' if float in hints else 'a table'}")


def _check_times(told: McpServer | HttpOperation, where: str) -> None:
    for name in ("timeout", "start_timeout"):
        seconds = getattr(told, name, None)
        if seconds is not None and not 0 < seconds < float("inf"):
            raise UnusableError(f"{where}.{name} is {seconds}; it must be more than 0 seconds")


def _check_url(url: str | None, where: str) -> None:
    if url is None:
        return
    if not url.startswith(("http://", "https://")):
        raise UnusableError(f"{where} has to begin with http:// or https://")
    if without_keys(url) != url:
        # Libraries log the URLs that they request, so the message does not repeat it either.
        raise UnusableError(f"{where} holds a user name, a key or a query; give keys by `headers`")


def _check_references(values: Mapping[str, Any], where: str) -> None:
    for name, value in values.items():
        if not is_reference(value):
            # The message does not repeat the value, which may be the secret itself.
            raise UnusableError(f'{where}.{name} has to be "${{VARIABLE}}", whose value the environment holds')
