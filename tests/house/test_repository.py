"""The house itself: packages, dependencies, floors, and what no file may hold."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from toolformer_ray.jobs.cli.main import main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

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


def test_every_package_is_installed_type_checked_and_on_a_floor() -> None:
    tool = PROJECT["tool"]
    assert tool["setuptools"]["packages"] == PACKAGES
    assert tool["mypy"]["packages"] == PACKAGES
    assert tool["importlinter"]["root_packages"] == PACKAGES
    layers = tool["importlinter"]["contracts"][0]["layers"]
    assert set(PACKAGES) <= set(re.findall(r"\w+", " ".join(layers)))


def test_every_library_that_is_imported_is_required() -> None:
    groups = PROJECT["project"]["optional-dependencies"]
    extras = [line for name, group in groups.items() if name != "dev" for line in group]
    lines = [*PROJECT["project"]["dependencies"], *extras]
    required = {_normal(Requirement(line).name) for line in lines}
    distributions = importlib.metadata.packages_distributions()
    imported = {name for path in MODULES for name in _imported(path)} - set(PACKAGES) - sys.stdlib_module_names
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


def test_everything_below_jobs_can_be_imported_where_there_is_no_ray() -> None:
    names = [_module(path) for path in MODULES if path.relative_to(ROOT).parts[0] != "jobs"]
    script = f"import sys, importlib; sys.modules['ray'] = None\nfor name in {names}: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_the_command_tells_the_version_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == PROJECT["project"]["version"]


def test_help_and_bad_options_do_not_wait_for_torch() -> None:
    script = "import sys, jobs.cli.commands; print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"


def test_an_import_against_the_floors_is_found(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for path in MODULES:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    violations = {
        "records": "import tools",
        "filter": "import annotate",
        "lm": "import ray",
        "jobs": "import miniature",
        "annotate/prompt": "def late():\n    import torch",
    }
    for place, line in violations.items():
        path = tmp_path / place
        (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).write_text(line)
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    report = subprocess.run(linter, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert report.returncode == 1
    for broken in (
        "records is not allowed to import tools",
        "filter is not allowed to import annotate",
        "lm is not allowed to import ray",
        "jobs is not allowed to import miniature",
        "toolformer_ray.annotate.prompt is not allowed to import torch",
    ):
        assert broken in report.stdout


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
