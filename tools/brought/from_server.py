"""Tools behind servers, by place.

    mcp:units                       the tools of an MCP server that may be asked
    mcp:units:convert               one of them
    http:weather                    an operation over HTTP
    mcp:units@servers.toml          told of in another file than `tool_servers.toml`

The server is asked what its tools are where a command is typed. What it said travels to the workers, which begin
sessions of their own, and is part of what identifies answers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from toolformer_ray.records.errors import UnusableError
from toolformer_ray.tools.brought.brought_tool import Brought
from toolformer_ray.tools.brought.drafted_prompt import fill_prompt
from toolformer_ray.tools.servers.call_names import key_of, name_in_calls, names_in_calls
from toolformer_ray.tools.servers.http_declaration import HttpDeclaration, of_template
from toolformer_ray.tools.servers.http_tool import make_http_tool
from toolformer_ray.tools.servers.mcp_listing import McpDeclaration, allowed
from toolformer_ray.tools.servers.mcp_session import session_of
from toolformer_ray.tools.servers.mcp_tool import make_mcp_tool
from toolformer_ray.tools.servers.openapi import of_document
from toolformer_ray.tools.servers.server_file import DEFAULT_FILE, HttpOperation, McpServer, read_server
from toolformer_ray.tools.tool import Tool

SCHEMES_OF_SERVERS = ("mcp:", "http:")
_made: dict[str, type[Tool]] = {}


@dataclass(frozen=True, kw_only=True)
class FromServer(Brought):
    """A tool of a server, as the server or the file told of it."""

    name: str
    """In calls."""
    declared: McpDeclaration | HttpDeclaration

    def load(self) -> type[Tool]:
        """The tool, which is made once in a process; nothing is asked."""
        identity = repr(self)
        if identity not in _made:
            told = self.declared
            if isinstance(told, McpDeclaration):
                tool = make_mcp_tool(told, self.name)
            else:
                tool = make_http_tool(told, self.name)
            tool.source = told.version[:16]
            fill_prompt(tool)
            _made[identity] = tool
        return _made[identity]


def with_file(written: Iterable[str], file: str | None) -> list[str]:
    """The places, those of servers with the file that tells of them.

    >>> with_file(["calculator", "mcp:units"], "servers.toml")
    ['calculator', 'mcp:units@servers.toml']
    """
    return [
        f"{place}@{file}" if file and place.startswith(SCHEMES_OF_SERVERS) and "@" not in place else place
        for place in written
    ]


def resolve_mcp(place: str, rest: str) -> Sequence[Brought]:
    """The tools of an MCP server, which is asked for them. Raises UnusableError or OptionError, one line."""
    named, at, file = rest.partition("@")
    server_name, _, only = named.partition(":")
    server = read_server(file or DEFAULT_FILE, "mcp", server_name)
    assert isinstance(server, McpServer)  # noqa: S101  the kind that was asked for
    declared = allowed(session_of(server).declarations(), server)
    chosen = [told for told in declared if only in ("", told.tool)]
    if not chosen:
        known = ", ".join(told.tool for told in declared)
        raise UnusableError(f"{place}: {server.where} allows no tool {only!r}; it allows {known}")
    names = names_in_calls([told.tool for told in chosen], server.where, server.names)
    return [
        FromServer(
            key=key_of(names[told.tool]),
            place=f"mcp:{server_name}:{told.tool}{at}{file}",
            name=names[told.tool],
            declared=told,
        )
        for told in chosen
    ]


def resolve_http(place: str, rest: str) -> Sequence[Brought]:
    """The tool that is an operation over HTTP. Raises UnusableError or OptionError, one line."""
    name, _, file = rest.partition("@")
    operation = read_server(file or DEFAULT_FILE, "http", name)
    assert isinstance(operation, HttpOperation)  # noqa: S101  the kind that was asked for
    declared = of_document(operation) if operation.openapi else of_template(operation)
    written = name_in_calls(name, operation.where)
    return [FromServer(key=key_of(written), place=place, name=written, declared=declared)]
