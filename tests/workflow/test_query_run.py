"""`toolformer query`: a view per table, whatever is written so far; errors do not end a conversation."""

import io
import json
from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Dropped
from toolformer_ray.workflow.pipeline import PIPELINE


@pytest.fixture
def run(tmp_path: Path) -> str:
    folder = RunFolder(str(tmp_path))
    folder.write_json("run.json", {})
    for number in range(3):
        document = make_row(Document, text_id=f"{number}-0", doc_id=str(number), text=f"line\n{number}")
        folder.write_shard("documents", f"part-0000{number}", Document, [document], fingerprint="", counts={})
    drop = make_row(Dropped, stage="ingest", reason="duplicate", count=4)
    folder.write_shard("dropped/ingest", "part-00000", Dropped, [drop], fingerprint="", counts={})
    return str(tmp_path)


def ask(run: str, sql: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["query", run, sql]) == 0
    return capsys.readouterr().out


def test_all_shards_of_a_table_are_one_view(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(run, "select text_id, text from documents order by all desc limit 1", capsys) == (
        "text_id  text\n-------- -------\n2-0      line\\n2\n"
    )
    assert "ingest  duplicate" in ask(run, "select stage, reason, count from dropped", capsys)


def test_show_tables_lists_every_stage_s_table_and_the_dropped_rows(
    run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, *names = ask(run, "SHOW TABLES", capsys).split()
    assert names == sorted([*(stage.table for stage in PIPELINE), "dropped", "judgements"])


def test_a_table_without_a_shard_has_its_columns_and_no_rows(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ask(run, "select tool, avg(loss_reduction) as gain from scored where is_kept group by tool", capsys)
    assert shown == "tool  gain\n----- ----\n"
    assert ask(run, "select calls[1].tool as first from augmented", capsys) == "first\n-----\n"


def test_sql_that_is_wrong_is_one_line_and_exit_code_2(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", run, "select nothing from documents"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'column "nothing" not found' in line


def test_a_conversation_goes_on_after_an_error(
    run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = "select nothing;\nselect count(*) as texts\nfrom documents;\nselect 7 as seven"
    monkeypatch.setattr("sys.stdin", io.StringIO(questions))
    assert main(["query", run]) == 0
    output, errors = capsys.readouterr()
    assert output.split() == ["texts", "-----", "3", "seven", "-----", "7"]
    assert len(errors.splitlines()) == 1


def test_long_answers_are_cut_and_say_so(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ask(run, "select range as n from range(500)", capsys).splitlines()
    assert (len(lines), lines[-1]) == (103, "only the first 100 rows; --full, --csv or --json show all")


@pytest.mark.parametrize("nothing", ["", " ;", ";;", "-- only a comment", "/* nothing */"])
def test_a_question_that_asks_nothing_is_one_line_and_exit_code_2(
    nothing: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", run, nothing]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toolformer: the question is empty; ")


def test_a_question_may_begin_with_a_comment(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(run, "-- how many\nselect count(*) as texts from documents", capsys).split() == ["texts", "-----", "3"]
    assert main(["query", run, "--csv", "--how many\nselect 7 as seven"]) == 0
    assert capsys.readouterr().out == "seven\n7\n"


def test_the_place_of_an_error_is_quoted(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for sql, place in {
        "select text_id\nfrm documents": "line 2, at: documents)",
        "select count(*) from documents where": "line 1, at: where)",
        "select nothing from documents": "line 1, at: nothing from documents)",
    }.items():
        assert main(["query", run, sql]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(place) and "^" not in line, line


@pytest.mark.parametrize("word", ["quit", "exit", ".quit", "QUIT;", "\\q"])
def test_a_conversation_ends_at_a_word(
    word: str, run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"help\n{word}\nselect 7 as seven;\n"))
    assert main(["query", run]) == 0
    output, errors = capsys.readouterr()
    assert "documents, candidates, executed, scored, augmented, dropped, judgements" in output
    assert "seven" not in output and errors == ""


def test_all_rows_and_whole_cells_are_there_for_the_asking(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = (
        "select range as n, repeat('x', 300) as long, [1.5, 'nan'::double] as list, date '2017-10-11' as day "
        "from range(150)"
    )
    cut = ask(run, sql, capsys)
    assert cut.endswith("only the first 100 rows; cells are cut at 120 characters; --full, --csv or --json show all\n")
    written = {}
    for form in ("--full", "--csv", "--json"):
        assert main(["query", run, sql, form]) == 0
        written[form] = capsys.readouterr().out.splitlines()
        assert sum("x" * 300 in line for line in written[form]) == 150
    assert written["--csv"][1] == f'0,{"x" * 300},"[1.5, null]",2017-10-11'
    assert json.loads(written["--json"][0]) == {"n": 0, "long": "x" * 300, "list": [1.5, None], "day": "2017-10-11"}


def test_only_one_form_can_be_asked_for(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", run, "select 1", "--csv", "--json"]) == 2
    assert capsys.readouterr().err == "toolformer: --csv and --json were given; choose one of them\n"


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_shard_that_is_damaged_is_one_line_with_its_path_and_no_row(
    content: bytes | None, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(run) / "documents/part-00001.parquet"
    whole = path.read_bytes()
    # Without content: another letter in the text, as compression leaves it.
    path.write_bytes(whole.replace(b"line", b"mine", 1) if content is None else content)
    assert main(["query", run, "select * from documents"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("toolformer: a table cannot be read: ")
    assert "part-00001.parquet" in line or "CRC" in line
