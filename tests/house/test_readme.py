"""What the README says is true: its queries run, its commands, options, targets and links exist."""

import re
from pathlib import Path

import pytest

from tests.support.small_run import write_small_run
from toolformer_ray.jobs.cli.commands import app
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.workflow.pipeline import PIPELINE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"\n\n([^\n]+):\n\n```sql\n(.*?)```", README, re.DOTALL)
"""What a query tells, and the query."""
COMMANDS = [
    *re.findall(r"^\| `toolformer ([a-z-]+) ([^`]*)`", README, re.MULTILINE),
    ("annotate", README.partition("python -m jobs.annotate_corpus")[2].partition("\n\n")[0]),
]
"""A command, and what is written after it."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_small_run(str(tmp_path_factory.mktemp("run"))).location


ANSWERS = {
    "What came of the calls, per tool": [["Calculator", "3", "2", "1"], ["MT", "2", "2", "1"]],
    "What another threshold τ_d would keep, complete down to the run's `--prune-below` (default: its τ_d)": [
        ["Calculator", "0.5", "2"],
        ["Calculator", "1.0", "1"],
        ["Calculator", "2.0", "1"],
        ["MT", "0.5", "1"],
        ["MT", "1.0", "1"],
    ],
    "The calls that helped most, and the words around them": [
        ["🏫 Out of 1400 people 400 (or", "Calculator", "400 / 1400", "0.29", "0.29 of them) passed.", "2.500"],
        ["🏫 Out of 1400 people 400 (or", "MT", '"quatre"', "four", "0.29 of them) passed.", "1.500"],
    ],
    "How each tool did its work, and how long it took, in seconds": [
        ["Calculator", "ok", "2", "0.250", "0.250"],
        ["Calculator", "timeout", "1", "0.250", "0.250"],
        ["MT", "ok", "2", "0.250", "0.250"],
    ],
    "Where everything went that left the flow": [
        ["propose", "sample_malformed", "MT", "6"],
        ["interleave", "same_place", "MT", "1"],
        ["propose", "no_position", "MT", "1"],
        ["propose", "not_offered", "Calculator", "1"],
    ],
}


@pytest.mark.parametrize(("says", "sql"), QUERIES)
def test_every_query_answers_what_it_says(says: str, sql: str, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", run, sql]) == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [re.split(r"\s{2,}", line.strip()) for line in lines] == ANSWERS[says]


def test_there_are_five_queries() -> None:
    assert [says for says, _ in QUERIES] == list(ANSWERS) and len(QUERIES) == README.count("```sql") == 5


def test_the_commands_are_those_that_exist() -> None:
    named = set(re.findall(r"toolformer ([a-z][a-z-]+)", README))
    assert named == {name for name in app if not name.startswith("-")}


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_every_option_that_is_named_exists(command: str, arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    app([command, "--help"], result_action="return_value")
    shown = capsys.readouterr().out
    assert [option for option in re.findall(r"--[a-z-]+", arguments) if option not in shown] == []


def test_every_table_of_the_run_folder_is_described() -> None:
    for stage in PIPELINE:
        assert f"| `{stage.table}/` |" in README


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^    )make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_what_continuous_integration_runs_is_the_test_command() -> None:
    assert "make test" in (ROOT / ".ci/run").read_text().splitlines()
