"""Who may import whom: each contract in pyproject.toml notices an import that breaks it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
CONTRACTS = [contract["name"] for contract in TOOL["importlinter"]["contracts"]]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "toolformer_ray")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

VIOLATIONS = [
    # The first words of the contract, files with what they import, and what the linter says of them.
    ("Floors", {"records/schema.py": "import toolformer_ray.tools"}, "records is not allowed to import"),
    ("Floors", {"filter/__init__.py": "from toolformer_ray import annotate"}, "filter is not allowed to import"),
    ("Only jobs imports Ray", {"lm/__init__.py": "import ray"}, "lm is not allowed to import ray"),
    ("One import name", {"decode/__init__.py": "import tools"}, "toolformer_ray is not allowed to import tools"),
    ("The miniature", {"jobs/__init__.py": "from toolformer_ray import miniature"}, "jobs is not allowed to import"),
    (
        "No circles",
        {
            "filter/interleave.py": "import toolformer_ray.filter.score",
            "filter/score.py": "import toolformer_ray.filter.interleave",
        },
        "No cycles are allowed in toolformer_ray.filter",
    ),
    (
        "Tables",
        {"annotate/prompt.py": "def late():\n    import torch"},
        "annotate.prompt is not allowed to import torch",
    ),
]


def test_every_package_is_linked_and_stands_on_a_floor() -> None:
    links = {path.name: path.readlink() for path in (ROOT / "toolformer_ray").iterdir() if path.is_symlink()}
    assert links == {name: Path("..", name) for name in PACKAGES}
    floors, forbidden = TOOL["importlinter"]["contracts"][0], TOOL["importlinter"]["contracts"][2]
    assert sorted(name for layer in floors["layers"] for name in layer.split(" | ")) == PACKAGES
    assert sorted(forbidden["forbidden_modules"]) == PACKAGES


def test_each_contract_notices_an_import_that_breaks_it(tmp_path: Path) -> None:
    assert [name for name in CONTRACTS if not any(name.startswith(first) for first, _, _ in VIOLATIONS)] == []
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    package = tmp_path / "toolformer_ray"
    written = {name: content for _, files, _ in VIOLATIONS for name, content in files.items()}
    for name in ["__init__.py", *map(str, MODULES)]:
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(written.pop(name, ""))
    assert not written
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    report = subprocess.run(linter, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert f"Contracts: 0 kept, {len(CONTRACTS)} broken." in report
    assert [says for _, _, says in VIOLATIONS if says not in report] == []


def test_everything_below_jobs_can_be_imported_where_there_is_no_ray() -> None:
    names = [".".join(("toolformer_ray", *path.with_suffix("").parts)) for path in MODULES if path.parts[0] != "jobs"]
    names = [name.removesuffix(".__init__") for name in names]
    script = f"import sys, importlib; sys.modules['ray'] = None\nfor name in {names}: importlib.import_module(name)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_tests_import_the_packages_by_their_one_name() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {module.partition(".")[0] for module in modules} & set(PACKAGES), path
