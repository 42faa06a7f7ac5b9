"""Errors of options as objects: they cross processes, and name the path to a nested record's field."""

import ast
import pickle
import re
from pathlib import Path

import pytest

from toolformer_ray.records.errors import OptionError, in_record


def test_an_error_that_a_worker_sends_is_the_same_object_in_the_driver() -> None:
    sent = pickle.loads(pickle.dumps(OptionError("shard_size", 0, "it must be at least 1 text")))  # noqa: S301 - ours
    assert (sent.field, sent.value, sent.remedy) == ("shard_size", 0, "it must be at least 1 text")
    assert str(sent) == "shard_size is 0; it must be at least 1 text"


def test_an_error_in_a_nested_record_names_the_path_to_its_field() -> None:
    with pytest.raises(OptionError, match="qa.timeout is 0; it must be more than 0 seconds"), in_record("qa"):
        raise OptionError("timeout", 0, "it must be more than 0 seconds")


ROOT = Path(__file__).parents[2]
SPELL_OPTIONS = {"bench", "docs", "miniature", "tests", "toolformer_ray"}
"""Folders with commands of their own, or that only link to others."""


def _flags_in_errors(path: Path) -> list[str]:
    raised = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Raise)]
    texts = [node.value for error in raised for node in ast.walk(error) if isinstance(node, ast.Constant)]
    return [text for text in texts if isinstance(text, str) and re.search(r"(^|[^-\w])--[a-z]", text)]


def test_only_the_command_line_spells_options_in_errors() -> None:
    paths = [path for path in ROOT.glob("[a-z]*/**/*.py") if path.relative_to(ROOT).parts[0] not in SPELL_OPTIONS]
    below = [path for path in paths if path.relative_to(ROOT).parts[:2] != ("jobs", "cli")]
    assert len(below) > 100
    assert {str(path.relative_to(ROOT)): flags for path in below if (flags := _flags_in_errors(path))} == {}
