"""A server in another language: `@modelcontextprotocol/server-everything` of the npm registry, where it is installed.

`make mcp-everything` installs it; MCP_EVERYTHING names the folder with its `node_modules`.
"""

import os
import shutil
from pathlib import Path

import pytest

INDEX = "node_modules/@modelcontextprotocol/server-everything/dist/index.js"
REPOSITORY = Path(__file__).parents[2]


def find_everything() -> tuple[str, str]:
    """Node, and the server's file. Skips the test where one of them is missing."""
    node = shutil.which("node")
    folder = Path(os.environ.get("MCP_EVERYTHING", REPOSITORY / "runs" / "npm"))
    if node is None or not (folder / INDEX).is_file():
        pytest.skip("needs node and @modelcontextprotocol/server-everything: make mcp-everything")
    return node, str(folder / INDEX)
