"""The figures of the house: `python -m tests.house.structure`. Circles, folders, lines, and the path of one option.

Imports are those that import-linter sees; imports for type checking count too.
"""

import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
PACKAGE = "toolformer_ray"
OPTION = "min_loss_reduction"


def main() -> None:
    """Print one figure a line."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True)
    files = [Path(name) for name in listed.stdout.splitlines()]
    code = [path for path in files if path.parts[0] != "tests"]
    graph = grimp.build_graph(PACKAGE)
    circles = sorted(name for name in graph.modules if _has_circle(graph, name))
    [(fullest, num_files)] = Counter(path.parent for path in code).most_common(1)
    [(busiest, num_imports)] = _imports_inside_folders(graph).most_common(1)
    carriers = [str(path) for path in code if OPTION in (ROOT / path).read_text(encoding="utf-8")]
    print(f"packages whose parts import each other in a circle: {len(circles)} {', '.join(circles)}")
    print(f"files directly in one folder, at most: {num_files} ({fullest})")
    print(f"imports among the files directly in one folder, at most: {num_imports} ({busiest})")
    print(f"lines without tests: {_lines(code):,}; of lm/: {_lines(path for path in code if path.parts[0] == 'lm'):,}")
    print(f"lines of tests: {_lines(path for path in files if path.parts[0] == 'tests'):,}")
    print(f"files that name {OPTION}: {len(carriers)} ({', '.join(carriers)})")


def _imports_inside_folders(graph: grimp.ImportGraph) -> Counter[str]:
    return Counter(
        importer.rpartition(".")[0]
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if importer.rpartition(".")[0] == imported.rpartition(".")[0]
    )


def _has_circle(graph: grimp.ImportGraph, package: str) -> bool:
    """Whether the children of a package cannot be put in an order in which each imports only those before it."""
    children = graph.find_children(package)

    def imports(child: str, other: str) -> bool:
        return child != other and graph.direct_import_exists(importer=child, imported=other, as_packages=True)

    needs = {child: {other for other in children if imports(child, other)} for child in children}
    while free := {child for child, needed in needs.items() if not needed}:
        needs = {child: needed - free for child, needed in needs.items() if child not in free}
    return bool(needs)


def _lines(paths: Iterable[Path]) -> int:
    return sum(len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in paths)


if __name__ == "__main__":
    main()
