"""The wheel: it brings one package with all that belongs to it, and works beside others' packages of any name."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"toolformer_ray"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, as setuptools leaves its files in the folder that it builds from."""
    folder = tmp_path_factory.mktemp("wheel")
    not_copied = shutil.ignore_patterns(".*", "build", "runs", "tests", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder / "checkout", symlinks=True, ignore=not_copied)
    offline = ["--no-build-isolation", "--no-deps", "--no-index", "-w", str(folder)]
    subprocess.run([*PIP, "wheel", *offline, str(folder / "checkout")], check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh environment in which somebody else's `tools` was there first; with ours installed, then uninstalled."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    site = site_packages(home)
    foreign = site / "tools/__init__.py"
    foreign.parent.mkdir()
    foreign.write_text("OWNER = 'somebody else'\n")
    before = {path.name for path in site.iterdir()}
    pip = [*PIP, "--python", str(home)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    version = importlib.metadata.version("toolformer-ray")
    ours = {"toolformer_ray", f"toolformer_ray-{version}.dist-info"}
    assert {path.name for path in site.iterdir()} == before | ours
    # The libraries of the running environment, but not what its own .pth files add: an editable install, that is.
    third_parties = site / "third_parties.pth"
    third_parties.write_text(f"{Path(pytest.__file__).parents[1]}\n")
    yield home
    # pip would otherwise see the running environment's install as well.
    third_parties.unlink()
    subprocess.run([*pip, "uninstall", "-y", "toolformer-ray"], check=True)
    assert {path.name for path in site.iterdir()} == before
    assert foreign.read_text() == "OWNER = 'somebody else'\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with packages of its own under the names of ours; to import one of them would be an error."""
    folder = tmp_path_factory.mktemp("project")
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('the user’s own')\n")
    return folder


def site_packages(environment: Path) -> Path:
    (site,) = environment.glob("lib/python*/site-packages")
    return site


def toolformer(environment: Path, project: Path, *arguments: str) -> str:
    """What the installed command prints when it is run in the user's folder."""
    settings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}
    command = [str(environment / "bin/toolformer"), *arguments]
    return subprocess.run(command, cwd=project, env=settings, capture_output=True, text=True, check=True).stdout


def test_the_wheel_holds_every_module_the_model_the_texts_and_the_marker_for_type_checkers(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {
        f"toolformer_ray/{path.relative_to(ROOT)}" for package in PACKAGES for path in (ROOT / package).rglob("*.py")
    }
    data = {
        f"toolformer_ray/{path.relative_to(ROOT)}"
        for folder in ("miniature/model", "real/texts")
        for path in (ROOT / folder).iterdir()
    }
    data |= {f"toolformer_ray/workflow/html_report/page.{kind}" for kind in ("css", "js")}
    data |= {"toolformer_ray/workflow/calls/review_page.html"}
    assert names == modules | data | {"toolformer_ray/__init__.py", "toolformer_ray/py.typed"}


def test_the_wheel_says_whose_it_is_where_it_lives_and_what_it_is_for(wheel: Path) -> None:
    (metadata,) = importlib.metadata.distributions(path=[str(wheel)])
    about = metadata.metadata
    assert about["Author"] == "The toolformer-ray authors"
    assert about["Keywords"]
    labels = {line.partition(",")[0] for line in about.get_all("Project-URL")}
    assert labels >= {"Homepage", "Documentation", "Issues"}
    assert "Typing :: Typed" in about.get_all("Classifier")


def test_the_installed_command_tells_its_version_and_its_tasks(environment: Path, project: Path) -> None:
    assert toolformer(environment, project, "--version").strip() == importlib.metadata.version("toolformer-ray")
    tasks = {path.stem for path in (ROOT / "evals/tasks").glob("[a-z]*.py")}
    listed = toolformer(environment, project, "tasks")
    assert [task for task in tasks if task not in listed] == []


def test_the_installed_command_annotates_in_a_folder_with_packages_of_the_same_names(
    environment: Path, project: Path
) -> None:
    texts = [f"The mill ground {n} sacks in May and 120 in June, which makes {n + 120} sacks." for n in range(400, 404)]
    (project / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    model = site_packages(environment) / "toolformer_ray/miniature/model"
    asked = ["--corpus", "corpus.jsonl", "--run", "run", "--model", str(model), "--tools", "calculator"]
    toolformer(environment, project, "annotate", *asked, "--calculator.max-places", "1", "--max-call-tokens", "16")
    assert toolformer(environment, project, "query", "run", "SELECT count(*) FROM documents").split()[-1] == "4"
