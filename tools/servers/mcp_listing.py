"""What an MCP server tells of its tools, bounded, cleaned and as data that travel to the workers."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolformer_ray.records.calls import clean_result
from toolformer_ray.records.errors import UnusableError
from toolformer_ray.records.fingerprint import fingerprint
from toolformer_ray.tools.servers.server_file import McpServer

MAX_PAGES = 20
MAX_TOOLS = 500
MAX_NAME_CHARS = 128
MAX_DESCRIPTION_CHARS = 1_000
MAX_VERSION_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class McpDeclaration:
    """One tool of an MCP server, as the server told of it when the run was begun. Made by the command, read by the
    workers."""

    server: McpServer
    tool: str
    """The name by which the server knows it."""
    description: str
    schema: Mapping[str, Any]
    """JSON schema of the arguments, as the server gives it."""
    reads_only: bool
    server_version: str
    """Name and version of the server."""

    @property
    def version(self) -> str:
        """Identifies what decides the answers: another server, version or schema is another tool."""
        told = {**dataclasses.asdict(self), "server": None}
        return fingerprint(told)


class EndlessListError(RuntimeError):
    """The server lists tools without end."""


async def list_tools(session: Any, server: McpServer) -> dict[str, McpDeclaration]:
    """All tools of a server, by the server's names. Raises EndlessListError for more than anybody could mean."""
    from mcp_types import PaginatedRequestParams

    found: dict[str, McpDeclaration] = {}
    cursor: str | None = None
    told = session.server_info
    version = clean_result(f"{told.name} {told.version}" if told else "", MAX_VERSION_CHARS)
    for _ in range(MAX_PAGES):
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        for tool in page.tools:
            found[tool.name] = _declaration(tool, server, version)
        if len(found) > MAX_TOOLS:
            break
        cursor = page.next_cursor
        if not cursor:
            return found
    raise EndlessListError(f"it lists more than {MAX_TOOLS} tools, or more than {MAX_PAGES} pages of them")


def allowed(found: Iterable[McpDeclaration], server: McpServer) -> list[McpDeclaration]:
    """The tools that may be asked, in the order of the file or the server.

    Raises UnusableError with the file and the key for one that is not there or may write, and if none is left.
    """
    by_name = {told.tool: told for told in found}
    where = server.where
    if server.tools is None:
        chosen = [told for told in by_name.values() if told.reads_only or server.allow_writing]
        if not chosen:
            raise UnusableError(f"{where} has no tool that says that it only reads; {_remedy(by_name)}")
        return chosen
    for name in server.tools:
        if name not in by_name:
            raise UnusableError(f"{where}.tools names {name!r}; the server has {_shown(by_name)}")
        if not by_name[name].reads_only and not server.allow_writing:
            raise UnusableError(f"{where}.tools names {name!r}, which does not say that it only reads; {_remedy({})}")
    return [by_name[name] for name in dict.fromkeys(server.tools)]


def _declaration(tool: Any, server: McpServer, version: str) -> McpDeclaration:
    hints = tool.annotations
    return McpDeclaration(
        server=server,
        tool=tool.name,
        description=clean_result(tool.description or "", MAX_DESCRIPTION_CHARS),
        schema=tool.input_schema,
        reads_only=bool(hints and hints.read_only_hint and not hints.destructive_hint),
        server_version=version,
    )


def _remedy(by_name: Mapping[str, McpDeclaration]) -> str:
    remedy = "to allow it, set allow_writing = true there"
    return f"it has {_shown(by_name)}; {remedy}" if by_name else remedy


def _shown(names: Iterable[str]) -> str:
    shown = [clean_result(name, MAX_NAME_CHARS) for name in list(names)[:20]]
    return ", ".join(shown) or "no tools"
