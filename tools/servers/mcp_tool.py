"""A tool of an MCP server."""

from collections.abc import Mapping
from typing import Any, ClassVar

from toolformer_ray.records.stages import Document
from toolformer_ray.tools.named import NamedArgumentsTool
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.schema_check import check_schema, clean_description
from toolformer_ray.tools.servers.from_environment import check_set
from toolformer_ray.tools.servers.mcp_answers import as_text
from toolformer_ray.tools.servers.mcp_listing import McpDeclaration
from toolformer_ray.tools.servers.mcp_pipe import program
from toolformer_ray.tools.servers.mcp_session import session_of
from toolformer_ray.tools.tool import CallContext, Tool


class McpTool(NamedArgumentsTool):
    """What the tools that are made of declarations have in common."""

    declared: ClassVar[McpDeclaration]
    is_expensive = True

    def open(self) -> None:
        """Begin the session, or wait until another tool of the server has. One that fails is tried again for calls.

        Raises UnusableError if the server's program, or a variable that it needs, is not on this machine.
        """
        server = self.declared.server
        check_set(server.environment, server.headers, server.where)
        if server.command is not None:
            program(server.command, server.args, server.where)
        session_of(server).begin()

    def data_version(self) -> str:
        """The server's name and version, and what it told of the tool."""
        return self.declared.version

    def wants(self, document: Document) -> bool:
        """Every text."""
        return True

    def call(self, arguments: Mapping[str, Any], context: CallContext) -> str:
        """What the server answers."""
        declared = self.declared
        return as_text(session_of(declared.server).call(declared, arguments, self.asking.timeout))


def make_mcp_tool(declared: McpDeclaration, name: str) -> type[Tool]:
    """The tool of a declaration. Raises UnusableError for a schema that cannot be used."""
    shown = f"{declared.server.where}: {name}"
    made = {
        "declared": declared,
        "name": name,
        "description": clean_description(declared.description) or f"{name} of {declared.server.name}.",
        "schema": check_schema(dict(declared.schema), shown),
        **({"asking": Asking(timeout=declared.server.timeout)} if declared.server.timeout else {}),
    }
    return type(name, (McpTool,), made)
