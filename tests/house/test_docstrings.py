"""The examples in docstrings are true."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "toolformer_ray"
WITH_EXAMPLES = [
    ".".join(["toolformer_ray", *path.relative_to(PACKAGE).with_suffix("").parts])
    for package in sorted(PACKAGE.iterdir())
    for path in sorted(package.rglob("*.py") if package.is_dir() else [])
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_every_example_gives_what_it_shows(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert (result.failed, result.attempted > 0) == (0, True)
