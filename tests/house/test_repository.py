"""The repository itself: what is required and pinned, what loads when, and what no file may hold."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted(path for package in ROOT.glob("*/__init__.py") for path in package.parent.rglob("*.py"))

# Written in two halves, so that this file does not hold them.
BANNED = [
    "".join(halves)
    for halves in [
        ("/work", "/main"),
        ("/work", "/shared"),
        ("/ro", "ot/"),
        ("/tm", "p/w/"),
        ("pypi", ".org"),
        ("python", "hosted"),
        ("download.py", "torch"),
        ("index-", "url"),
    ]
]


def test_no_file_names_a_place_that_only_one_machine_has_or_a_package_registry() -> None:
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if files.returncode:
        pytest.skip("this is no git checkout, so nobody says which files belong to it")
    for name in filter(None, files.stdout.split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        found = [banned for banned in BANNED if banned.encode() in content]
        assert not found, f"{name} holds {found}"


def test_every_library_that_is_imported_is_required() -> None:
    groups = PROJECT["project"]["optional-dependencies"]
    extras = [line for name, group in groups.items() if name != "dev" for line in group]
    lines = [*PROJECT["project"]["dependencies"], *extras]
    required = {_normal(Requirement(line).name) for line in lines}
    distributions = importlib.metadata.packages_distributions()
    imported = {name for path in MODULES for name in _imported(path)} - {"toolformer_ray"} - sys.stdlib_module_names
    missing = {name for name in imported if not {_normal(d) for d in distributions[name]} & required}
    assert missing == set()


def test_every_requirement_is_pinned_within_its_range_and_torch_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {_normal(name): version for name, _, version in (line.partition("==") for line in lines)}
    project = PROJECT["project"]
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    others = [name for name in extras if not name.startswith(f"{project['name']}[")]
    for requirement in map(Requirement, [*project["dependencies"], *others]):
        assert requirement.specifier.contains(pinned[_normal(requirement.name)]), requirement
    assert pinned["torch"] == "2.13.0"


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
