"""How many texts a second the execute stage takes through with an MCP server's tool, against the same function in
process: `python -m tests.chaos.run_server_tools`. The server is the one written with the SDK, over its pipes.
"""

import argparse
import sys
import time

from tests.support.rows import make_row
from tests.support.tool_servers import UNITS_OF_SDK, units
from toolformer_ray.annotate.execute import execute
from toolformer_ray.records.stages import Candidate, Document
from toolformer_ray.tools.asking.executor import ToolExecutor
from toolformer_ray.tools.brought.function import make_tool_class
from toolformer_ray.tools.options import Asking
from toolformer_ray.tools.servers.mcp_listing import allowed
from toolformer_ray.tools.servers.mcp_session import session_of
from toolformer_ray.tools.servers.mcp_tool import make_mcp_tool
from toolformer_ray.tools.tool import Tool

CALLS_PER_TEXT = 5
IN_FLIGHT = 50


def rate(tool: Tool, num_texts: int) -> float:
    """Texts a second."""
    tool.asking = Asking(max_in_flight=IN_FLIGHT, timeout=60.0)
    tool.open()
    documents = [make_row(Document, text_id=str(number)) for number in range(num_texts)]
    calls = [
        make_row(Candidate, text_id=str(number), tool="Convert", call_input=f'amount={number}.{each}, unit="km"')
        for number in range(num_texts)
        for each in range(CALLS_PER_TEXT)
    ]
    executor = ToolExecutor({"Convert": tool})
    execute(calls[:IN_FLIGHT], documents, executor)
    started = time.monotonic()
    rows = execute(calls, documents, executor)
    seconds = time.monotonic() - started
    assert all(row.status == "ok" for row in rows), {row.status for row in rows}
    return num_texts / seconds


def in_process(seconds: float) -> Tool:
    """The function of the server, as a tool of this process."""

    def convert(amount: float, unit: str = "km") -> str:
        """Converts a length to metres."""
        time.sleep(seconds)
        return f"{amount * {'km': 1000.0, 'm': 1.0, 'cm': 0.01}[unit]:g} m"

    return make_tool_class(convert)()


def main() -> None:
    """Print one line for each time that a call takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--seconds", type=float, nargs="*", default=[0.0, 0.02, 0.2, 0.5])
    asked = parser.parse_args()
    for seconds in asked.seconds:
        server = units(name=f"units{seconds}", args=("-c", _SERVE.format(seconds=seconds, path=UNITS_OF_SDK)))
        (declared,) = allowed(session_of(server).declarations(), server)
        here, there = rate(in_process(seconds), asked.texts), rate(make_mcp_tool(declared, "Convert")(), asked.texts)
        print(
            f"{seconds:g} s a call, {IN_FLIGHT} in flight: {here:.1f} texts/s in process, {there:.1f} by MCP "
            f"({CALLS_PER_TEXT * there:.0f} calls/s), ratio {there / here:.2f}",
            flush=True,
        )


_SERVE = "import os, runpy; os.environ['UNITS_SECONDS'] = '{seconds}'; runpy.run_path('{path}', run_name='__main__')"

if __name__ == "__main__":
    sys.exit(main())
