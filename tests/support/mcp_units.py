"""An MCP server written with the SDK: `python mcp_units.py` over its pipes, `python mcp_units.py PORT` over HTTP.

`UNITS_VERSION` is the version that it tells, `UNITS_SECONDS` how long each conversion takes, `UNITS_PIDS` a file to
which each process adds its number at each conversion.
"""

import asyncio
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

FACTORS = {"km": 1000.0, "m": 1.0, "cm": 0.01}
READS = ToolAnnotations(read_only_hint=True)
server = MCPServer("units", version=os.environ.get("UNITS_VERSION", "1"))


def note_process() -> None:
    if "UNITS_PIDS" in os.environ:
        with Path(os.environ["UNITS_PIDS"]).open("a") as file:
            file.write(f"{os.getpid()}\n")


@server.tool(annotations=READS)
async def convert(amount: float, unit: str = "km") -> str:
    """Converts a length to metres."""
    note_process()
    await asyncio.sleep(float(os.environ.get("UNITS_SECONDS", "0")))
    if unit not in FACTORS:
        raise ValueError(f"{unit} is no unit")
    return f"{amount * FACTORS[unit]:g} m"


@server.tool(annotations=READS)
def crash(code: int) -> str:
    """Ends the server."""
    os._exit(code)


@server.tool(annotations=READS)
def environment() -> str:
    """Names the variables that the server sees."""
    return " ".join(sorted(os.environ))


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
