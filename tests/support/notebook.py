"""docs/python.ipynb: docs/python.md as a notebook. `python -m tests.support.notebook` writes it anew."""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "docs"
PAGE, NOTEBOOK = FOLDER / "python.md", FOLDER / "python.ipynb"
TOLD = "The files that the page speaks of: a few texts of the built-in world, and the model that was trained on it."
SETUP = """
import json
from pathlib import Path

import toolformer_ray
from toolformer_ray.miniature.demo_corpus import demo_stories, demo_world

with open("texts.jsonl", "w") as file:
    for story in demo_stories(demo_world(), texts_per_tool=2, seed=1):
        print(json.dumps({"text": story.text}), file=file)
if not Path("model").exists():
    Path("model").symlink_to(Path(toolformer_ray.__file__).parent / "miniature/model")
""".strip()


def make_notebook(page: str) -> dict[str, Any]:
    """The page, cut at its blocks of Python, behind a cell that makes the files."""
    title, *others = re.split(r"```python\n(.*?)\n```\n", page, flags=re.DOTALL)
    first, _, begin = title.partition("\n## ")
    texts = [("markdown", first), ("markdown", TOLD), ("code", SETUP), ("markdown", f"## {begin}")]
    for number, text in enumerate(others):
        texts.append(("markdown" if number % 2 else "code", text))
    return {
        "cells": [_cell(number, kind, text.strip()) for number, (kind, text) in enumerate(texts) if text.strip()],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(number: int, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


if __name__ == "__main__":
    written = json.dumps(make_notebook(PAGE.read_text(encoding="utf-8")), indent=1, ensure_ascii=False)
    NOTEBOOK.write_text(written + "\n", encoding="utf-8")
