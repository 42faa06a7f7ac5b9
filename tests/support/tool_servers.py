"""Servers of tools for tests: the files that tell of them, and a port that is free."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolformer_ray.tools.servers.server_file import McpServer

HERE = Path(__file__).parent
UNITS = str(HERE / "mcp_light.py")
UNITS_OF_SDK = str(HERE / "mcp_units.py")
HOSTILE = str(HERE / "mcp_hostile.py")


def write_file(folder: Path, tables: Mapping[str, Mapping[str, Any]]) -> str:
    """A file of servers: per `mcp.NAME` or `http.NAME` its keys. JSON's values are TOML's, tables aside."""
    lines = []
    for header, values in tables.items():
        lines.append(f"[{header}]")
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
    path = folder / "tool_servers.toml"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def units(**more: Any) -> McpServer:
    """The server of `mcp_light.py`, as a program."""
    told = {"name": "units", "file": "servers.toml", "command": sys.executable, "args": (UNITS,)}
    return McpServer(**told | more)


def free_port() -> int:
    """A port of the loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def units_over_http(port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server of `mcp_units.py` over HTTP, as a process of its own that is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, UNITS_OF_SDK, str(port)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise RuntimeError("the server did not start")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
