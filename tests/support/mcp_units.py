"""An MCP server written with the SDK: `python mcp_units.py` over its pipes, `python mcp_units.py PORT` over HTTP.

Its tools do what those of `mcp_light.py` do.
"""

import asyncio
import os
import sys

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

FACTORS = {"km": 1000.0, "m": 1.0, "cm": 0.01}
READS = ToolAnnotations(read_only_hint=True)
server = MCPServer("units", version="1")


@server.tool(annotations=READS)
async def convert(amount: float, unit: str = "km") -> str:
    """Converts a length to metres."""
    await asyncio.sleep(float(os.environ.get("UNITS_SECONDS", "0")))
    if unit not in FACTORS:
        raise ValueError(f"{unit} is no unit")
    return f"{amount * FACTORS[unit]:g} m"


@server.tool()
def write_down(text: str) -> str:
    """Does not say that it only reads."""
    return text


if __name__ == "__main__":
    sys.stderr.write("ready to convert\n")
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
