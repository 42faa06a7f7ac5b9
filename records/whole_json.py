"""A small JSON file beside a result, whole or not at all; run folders have a way of their own, for any storage."""

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write it under a hidden name, and rename. Raises OSError if the disk refuses."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
