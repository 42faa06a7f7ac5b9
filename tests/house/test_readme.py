"""What the README says is true: its queries run, its commands, options, targets and links exist."""

import re
from pathlib import Path

import pytest

from jobs.command_line import app, main
from records.calls import insert_calls
from records.run_folder import RunFolder
from records.schema import Record
from records.stages import OUTPUT_RECORDS, Augmented, Candidate, Document, Dropped, Executed, KeptCall, Scored

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

TEXT = "🏫 Out of 1400 people 400 (or 0.29 of them) passed."
DOCUMENT = Document(
    text_id="a-0", doc_id="a", part=0, text=TEXT, title=None, url=None, date=None, source="school.jsonl"
)
SHARD = "part-00000"


def scored(tool: str, call_input: str, result: str | None, reduction: float | None, **columns: object) -> Scored:
    """A call before ` 0.29`; kept if it lowers the loss by 1 nat or more."""
    row: dict[str, object] = {
        "text_id": "a-0",
        "tool": tool,
        "token_index": 9,
        "char_offset": TEXT.index(" 0.29"),
        "open_probability": 0.5,
        "call_input": call_input,
        "num_samples": 1,
        "loss_without": 3.0,
        "status": "ok" if result else "timeout",
        "result": result,
        "seconds": 0.25,
        "from_cache": False,
        "loss_with_call": None if reduction is None else 3.0,
        "loss_with_result": None if reduction is None else 3.0 - reduction,
        "loss_reduction": reduction,
        "input_sees_future": False,
        "sees_future": False,
        "is_kept": reduction is not None and reduction >= 1.0,
    }
    return Scored(**row | columns)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a run over one text, with two kept calls of three calculator and two translator calls."""
    calls = [
        scored("Calculator", "400 / 1400", "0.29", 2.5),
        scored("Calculator", "1400 - 400", "1000", 0.75),
        scored("Calculator", "1400 +", None, None),
        scored("MT", '"quatre"', "four", 1.5),
        scored("MT", '"passed"', "passed", 2.0, input_sees_future=True, is_kept=False),
    ]
    kept = KeptCall(
        tool="Calculator", call_input="400 / 1400", result="0.29", char_offset=calls[0].char_offset, loss_reduction=2.5
    )
    augmented = Augmented(text_id="a-0", doc_id="a", text=insert_calls(TEXT, [kept]), num_calls=1, calls=(kept,))
    drops = [
        Dropped(stage="propose", reason=reason, text_id="a-0", tool=tool, char_offset=None, detail=None, count=count)
        for reason, tool, count in [
            ("sample_malformed", "MT", 2),
            ("sample_malformed", "MT", 4),
            ("no_position", "Calculator", 1),
        ]
    ]
    folder = RunFolder(str(tmp_path_factory.mktemp("run")))
    folder.write_json("run.json", {"settings": {"tools": ["calculator", "translation"]}})
    tables: dict[str, tuple[type[Record], list[Record]]] = {
        "documents": (Document, [DOCUMENT]),
        "candidates": (Candidate, [_only(Candidate, call) for call in calls]),
        "executed": (Executed, [_only(Executed, call) for call in calls]),
        "scored": (Scored, [*calls]),
        "augmented": (Augmented, [augmented]),
        "dropped/propose": (Dropped, [*drops]),
    }
    for table, (record, rows) in tables.items():
        folder.write_shard(table, SHARD, record, rows, fingerprint="0", counts={"rows": len(rows)})
    return folder.location


def _only(record: type[Record], row: Record) -> Record:
    return record(**{name: getattr(row, name) for name in record.__dataclass_fields__})


ANSWERS = {
    "What came of the calls, per tool": [["Calculator", "3", "2", "1"], ["MT", "2", "2", "1"]],
    "What another threshold τ_f would keep, complete down to the run's `--prune-below` (default: its τ_f)": [
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
        ["propose", "no_position", "Calculator", "1"],
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
    for table in OUTPUT_RECORDS:
        assert f"| `{table}/` |" in README


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
