"""docs/paper.md and the tests agree, in both directions."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([A-Z]\d+) \|(.*)\|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py::\w+)`")


def claims() -> list[tuple[str, set[str]]]:
    """Each id with the tests that its row names."""
    manifest = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
    return [(claim, set(TEST.findall(row))) for claim, row in ROW.findall(manifest)]


def marked_tests() -> dict[str, set[str]]:
    """Every test of the project with the ids that it is marked with."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[f"{path.relative_to(ROOT)}::{node.name}"] = set(_marks(node))
    return found


def _marks(function: ast.FunctionDef) -> list[str]:
    calls = [node for node in function.decorator_list if isinstance(node, ast.Call)]
    marks = [call for call in calls if ast.unparse(call.func) == "pytest.mark.paper"]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def test_every_claim_has_an_id_of_its_own_and_a_test() -> None:
    ids = [claim for claim, _ in claims()]
    assert len(ids) > 20 and len(ids) == len(set(ids))
    assert [claim for claim, tests in claims() if not tests] == []


def test_every_test_that_the_manifest_names_exists_and_carries_the_id() -> None:
    marked = marked_tests()
    named = [(claim, test) for claim, tests in claims() for test in sorted(tests)]
    assert [(claim, test) for claim, test in named if claim not in marked.get(test, set())] == []


def test_every_marked_test_is_named_under_its_id() -> None:
    named = dict(claims())
    marked = [(claim, test) for test, ids in marked_tests().items() for claim in sorted(ids)]
    assert [(claim, test) for claim, test in marked if test not in named.get(claim, set())] == []
