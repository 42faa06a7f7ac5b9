"""Annotation from Python: the page about it runs, block by block, and what is wrong is one line."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.notebook import NOTEBOOK, make_notebook
from toolformer_ray.jobs.python_api import Run, _beside_a_loop, annotate, read_options

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/python.md").read_text(encoding="utf-8")
CHECKS = """
assert set(scored.column_names) >= {"contrast", "is_kept"} and len(documents) == 12
assert answered["calls"].sum() == sum(status == "ok" for status in scored["status"].to_pylist()) > 0
assert kept.num_rows == sum(row["num_calls"] for row in run.arrow("augmented").to_pylist())
assert run.settings["calculator.max-places"] == 4 and run.status().state == "finished"
assert open("report.html").read().startswith("<!")
print(kept.num_rows, "calls kept")
"""


def test_the_page_runs_from_top_to_bottom(tmp_path: Path, model: str, corpus: Path) -> None:
    (tmp_path / "model").symlink_to(model)
    (tmp_path / "texts.jsonl").symlink_to(corpus)
    script = tmp_path / "page.py"
    script.write_text("".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)) + CHECKS)
    paths = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=paths, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "Warning" not in ended.stderr.replace("FutureWarning", "")
    assert "annotate(): shard-siz is no option of annotate; did you mean shard-size?" in ended.stdout
    assert not (tmp_path / "runs/two").exists()


def test_the_notebook_is_the_page_behind_a_cell_that_makes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert found == make_notebook(PAGE), "run `python -m tests.support.notebook`"
    setup, *blocks = ["".join(cell["source"]) for cell in found["cells"] if cell["cell_type"] == "code"]
    assert "\n".join(blocks) + "\n" == "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # a cell may be run again
        exec(setup, {})  # noqa: S102 - a cell of our own
    assert "text" in json.loads((tmp_path / "texts.jsonl").read_text().splitlines()[0])
    assert (tmp_path / "model/config.json").is_file()


def test_arguments_are_read_as_the_options_of_the_command_line_are(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('model = "m"\nseed = 3\nmax-documents = 5\n')
    options = read_options(
        run=tmp_path / "run",
        corpus=[Path("a"), "b"],
        config=tmp_path / "run.toml",
        tools=("calculator", "calendar"),
        max_documents=9,
        second_round=True,
        calendar={"max_places": 2},
        token_budget=None,
    )
    assert (options.run, options.ingest.corpus, options.model.model) == (str(tmp_path / "run"), ("a", "b"), "m")
    assert (options.ingest.max_documents, options.propose.seed, options.propose.second_round) == (9, 3, True)
    assert options.tools.make()["calendar"].teaching.max_places == 2


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"shard_size": 0}, "shard_size is 0; it must be at least 1 text"),
        ({"calculator": {"max_placs": 3}}, "calculator.max-placs is no option of annotate; did you mean"),
        ({"seed": "x"}, "unable to convert"),
        ({"tools": "abacus"}, "there is no such tool"),
        ({"model": None}, "needs --model"),
    ],
)
def test_what_is_wrong_is_a_value_error_of_one_line(given: dict[str, object], line: str) -> None:
    arguments = {"run": "r", "corpus": "c", "model": "m"} | given
    with pytest.raises(ValueError, match=re.escape(line)) as caught:
        annotate(**arguments)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1


def test_where_a_loop_runs_already_the_work_is_done_beside_it() -> None:
    def work() -> int:
        return asyncio.run(asyncio.sleep(0, result=7))

    async def cell() -> int:
        return _beside_a_loop(work)

    assert asyncio.run(cell()) == 7 == _beside_a_loop(work)


def test_a_table_that_there_is_not_and_a_folder_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run folder in"):
        Run(tmp_path)
    (tmp_path / "run.json").write_text('{"settings": {}}')
    with pytest.raises(ValueError, match="a run has no table calls; choose among documents"):
        Run(tmp_path).arrow("calls")
