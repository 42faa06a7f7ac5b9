"""The promise that `python -m bench` needs torch and transformers and nothing else: kept where nothing else is."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_the_bench_runs_where_only_torch_and_transformers_are_installed(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    for distribution in _needed_by({"torch", "transformers"}):
        _link(distribution, site)
    assert not (site / "pyarrow").exists()
    for folder in ("bench", "lm", "miniature", "records"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    # -S leaves out the environment's own libraries; the path brings back the few that are linked.
    command = [sys.executable, "-S", "-m", "bench", "--model", "miniature", "--tokens", "20", "--texts", "1"]
    command += ["--repeats", "1", "--threads", "1", "--device", "cpu"]
    command += ["--out", str(tmp_path / "page.md"), "--raw", str(tmp_path / "raw")]
    environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "baseline over engine" in (tmp_path / "page.md").read_text()
    assert list((tmp_path / "raw").glob("miniature-20-cpu-float32.json"))


def _needed_by(names: set[str]) -> list[importlib.metadata.Distribution]:
    """The distributions of these names and all that they require, extras left out."""
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        requirements = map(Requirement, found[name].requires or [])
        waiting += [r.name.lower() for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return list(found.values())


def _link(distribution: importlib.metadata.Distribution, site: Path) -> None:
    """Every top folder and file of the distribution, as links; scripts outside the library are left out."""
    for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
        target = Path(str(distribution.locate_file(top)))
        if target.exists() and not (site / top).exists():
            (site / top).symlink_to(target)
