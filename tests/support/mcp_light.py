"""The tools of `mcp_units.py` without the SDK, which takes seconds to import: an MCP server of the standard library.

`UNITS_VERSION` is the version that it tells, `UNITS_SECONDS` how long each conversion takes, `UNITS_PIDS` a file to
which each process adds its number at each conversion.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

FACTORS = {"km": 1000.0, "m": 1.0, "cm": 0.01}
AMOUNT = {"amount": {"type": "number"}, "unit": {"type": "string", "default": "km"}}
TOOLS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "convert": ("Converts a length to metres.", AMOUNT, ["amount"]),
    "crash": ("Ends the server.", {"code": {"type": "integer"}}, ["code"]),
    "environment": ("Names the variables that the server sees.", {}, []),
    "write_down": ("Does not say that it only reads.", {"text": {"type": "string"}}, ["text"]),
}
writing = threading.Lock()


def call(tool: str, arguments: dict[str, Any]) -> str:
    """The answer of a tool. Raises KeyError for a unit that is none."""
    if tool == "crash":
        os._exit(arguments["code"])
    if tool == "environment":
        return " ".join(sorted(os.environ))
    if tool != "convert":
        return arguments["text"]
    if "UNITS_PIDS" in os.environ:
        with Path(os.environ["UNITS_PIDS"]).open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(float(os.environ.get("UNITS_SECONDS", "0")))
    return f"{arguments['amount'] * FACTORS[arguments.get('unit', 'km')]:g} m"


def result_of(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    """The result of a request; None for one that is not known."""
    if method == "initialize":
        told = {"name": "units", "version": os.environ.get("UNITS_VERSION", "1")}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": told}
    if method == "tools/list":
        return {"tools": [_declared(name) for name in TOOLS]}
    if method != "tools/call":
        return None
    try:
        return {"content": [{"type": "text", "text": call(params["name"], params["arguments"])}]}
    except KeyError as error:
        return {"content": [{"type": "text", "text": f"{error} is no unit"}], "isError": True}


def _declared(name: str) -> dict[str, Any]:
    description, properties, required = TOOLS[name]
    schema = {"type": "object", "properties": properties, "required": required}
    hints = {"annotations": {"readOnlyHint": True}} if name != "write_down" else {}
    return {"name": name, "description": description, "inputSchema": schema, **hints}


def answer(request: dict[str, Any]) -> None:
    """Write the answer to a request."""
    result = result_of(request["method"], request.get("params", {}))
    said = {"error": {"code": -32601, "message": "not known"}} if result is None else {"result": result}
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": request["id"], **said}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request and "method" in request:
            threading.Thread(target=answer, args=(request,), daemon=True).start()
