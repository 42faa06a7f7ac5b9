"""Small JSON files on a local disk, complete or not there. Run folders have their own writer, for any storage."""

import json
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write a file under a hidden name and rename it. Raises OSError if the disk refuses."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
