"""`toolformer report`: numbers equal SQL, hostile texts stay text, nothing is asked of a network."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from tests.support.refusals import Refuse, refuse  # noqa: F401 - a fixture
from tests.support.rows import make_row
from tests.support.small_run import write, write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.calls import insert_calls
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Document, KeptCall, Scored
from toolformer_ray.workflow.html_report.markup import written
from toolformer_ray.workflow.html_report.page import PANELS
from toolformer_ray.workflow.report.judgements import Judgement, write_judgements
from toolformer_ray.workflow.report.query import open_tables

ROOT = Path(__file__).parents[2]
DOCUMENTED = re.findall(r"^### `([a-z]+)`", (ROOT / "docs/report.md").read_text(encoding="utf-8"), re.MULTILINE)
QUESTIONS = [
    (key, number, sql)
    for key, section in re.findall(
        r"^### `([a-z]+)`(.*?)(?=^##|\Z)",
        (ROOT / "docs/report.md").read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    for number, sql in enumerate(re.findall(r"```sql\n(.*?)```", section, re.DOTALL))
]
SETTINGS = {
    "tools": ["calculator", "translation"],
    "filter": "decoys",
    "calculator.min-contrast": 1.0,
    "translation.min-contrast": 1.0,
}


class Tables(HTMLParser):
    """The tables of each section of a page: a list of rows of cells, the header first."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.by_section: dict[str, list[list[list[str]]]] = {}
        self.tags: list[str] = []
        self._section, self._is_cell = "", False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        tables = self.by_section.setdefault(self._section, [])
        if tag == "table":
            tables.append([])
        elif tag == "tr":
            tables[-1].append([])
        elif tag in ("td", "th"):
            tables[-1][-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.by_section[self._section][-1][-1][-1] += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = write_small_run(str(tmp_path_factory.mktemp("run") / "run"))
    folder.write_json("run.json", {"settings": SETTINGS, "versions": {"torch": "2.13.0"}})
    judged = {"text_id": "a-0", "tool": "Calculator", "char_offset": 25, "call_input": "400 / 1400", "result": "0.29"}
    write_judgements(folder, [Judgement(**judged, verdict="right")])
    return folder


@pytest.fixture(scope="module")
def page(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_page(run, tmp_path_factory.mktemp("page"))


def make_page(run: RunFolder, folder: Path) -> str:
    assert main(["report", run.location, "--out", str(folder / "report.html")]) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


def test_every_panel_is_there_and_documented(page: str) -> None:
    keys = [panel.key for panel in PANELS]
    assert re.findall(r'<section id="([a-z]+)">', page) == keys == DOCUMENTED


@pytest.mark.parametrize(("key", "number", "sql"), QUESTIONS)
def test_the_numbers_of_a_panel_are_those_of_its_documented_query(
    key: str, number: int, sql: str, run: RunFolder, page: str
) -> None:
    connection = duckdb.connect()
    for name, table in open_tables(run).items():
        connection.register(name, table)
    result = connection.execute(sql)
    columns, rows = [column[0] for column in result.description], result.fetchall()
    assert rows
    # The first table of what it cost is about time, which no row tells.
    header, *shown = Tables(page).by_section[key][number + (key == "cost")]
    places = [header.index(column) for column in columns]
    assert [[row[place] for place in places] for row in shown] == [[written(value) for value in row] for row in rows]


def test_the_counts_are_right_where_they_can_be_counted_by_eye(page: str) -> None:
    tables = Tables(page).by_section
    # Two texts, one of which no tool of Calculator is offered; of five calls one has no answer and two are kept.
    assert tables["funnel"][0][1:] == [
        ["Calculator", "1", "1", "3", "2", "1", "1"],
        ["MT", "2", "1", "2", "2", "1", "0"],
    ]
    # One call of 2.5 nats in two texts.
    (yielded,) = tables["yield"][0][1:]
    assert (yielded[1], yielded[3]) == ("500.0", "1,250.0")
    assert tables["judged"][0][1] == ["Calculator", "1", "1", "0", "0", "100%", "21% to 100%"]


HOSTILE = "</script><script>alert(1)</script> \u202e<img src=x onerror=alert(2)> costs \x1b[31m7."


def test_a_text_stays_text_wherever_it_is_shown(run: RunFolder, page: str, tmp_path: Path) -> None:
    copy = RunFolder(str(tmp_path / "run"))
    shutil.copytree(run.location, copy.location)
    offset = HOSTILE.index(" \x1b")
    call = KeptCall(
        tool="Calculator", call_input="<b onclick='x'>\"", result="<i>7</i>", char_offset=offset, loss_reduction=2.0
    )
    told = {"text_id": "h-0", "doc_id": "h"}
    document = make_row(
        Document, **told, text=HOSTILE, source="<script>source</script>", title="<script>title</script>"
    )
    text = insert_calls(HOSTILE, [call])
    losses = {"loss_in_place": 0.5, "losses_of_decoys": (2.5, 2.5), "contrast": 2.0}
    scored = make_row(
        Scored,
        text_id="h-0",
        tool="Calculator",
        call_input=call.call_input,
        result=call.result,
        char_offset=offset,
        **losses,
    )
    write(copy, "documents", Document, [document], shard="part-00001")
    write(copy, "scored", Scored, [scored], shard="part-00001")
    write(copy, "augmented", Augmented, [Augmented(**told, text=text, num_calls=1, calls=(call,))], shard="part-00001")
    copy.write_json("run.json", {"settings": SETTINGS | {"model": "<script>model</script>"}})
    hostile = make_page(copy, tmp_path)
    assert Tables(hostile).tags.count("script") == Tables(page).tags.count("script") == 1
    assert not {"img", "b", "i"} & set(Tables(hostile).tags)
    assert "\u202e" not in hostile and "\x1b" not in hostile
    shown = html.unescape(hostile)
    for piece in (
        "</script><script>alert(1)</script>",
        "<script>source</script>",
        "<i>7</i>",
        "<script>model</script>",
    ):
        assert piece in shown


def test_each_token_behind_a_call_has_the_colour_of_what_the_call_changes_there(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(str(tmp_path / "run"))
    shutil.copytree(run.location, copy.location)
    rows = copy.read_shard("scored", "part-00000", Scored)
    (kept,) = [row for row in rows if row.is_kept and row.tool == "Calculator"]
    place = kept.char_offset
    tokens = {"token_ends": (place + 2, place + 5), "token_contrasts": (3.0, -1.5)}
    write(copy, "scored", Scored, [make_row(Scored, **vars(kept) | tokens)])
    page = make_page(copy, tmp_path)
    assert '<span class="after" style="--gain:1.00" title="+3.00 nats"> 0</span>' in page
    assert '<span class="after worse" style="--gain:0.50" title="-1.50 nats">.29</span>' in page


def test_the_page_begins_with_what_the_run_is(page: str) -> None:
    assert "annotated 2 texts with calls of calculator, translation; by the filter decoys, 2 calls were kept." in page
    assert "C* has 1 of them, in 1 of the texts: of several calls at one place the one that helps most stays." in page


@pytest.mark.parametrize(("told", "shown"), [({"seconds_worked": 3725.0}, "1 h 2 min"), ({}, "not counted")])
def test_the_page_tells_for_how_long_the_run_has_worked(
    told: dict[str, float], shown: str, run: RunFolder, tmp_path: Path
) -> None:
    copy = RunFolder(str(tmp_path / "run"))
    shutil.copytree(run.location, copy.location)
    copy.write_json("progress.json", {"state": "finished"} | told)
    rows = dict(Tables(make_page(copy, tmp_path)).by_section["cost"][0][1:])
    assert rows["time that the run has worked, all its starts together"] == shown


def test_kept_calls_stand_beside_an_answer_they_were_compared_with_and_chance_has_its_formula(page: str) -> None:
    first = Tables(page).by_section["thresholds"][1][1]
    assert first == ["Calculator", "400 / 1400", "0.29", "0.500", "7", "3.000", "2.500"]
    assert "Estimated false share = calls * share of decoys that would pass" in page


def test_a_threshold_that_no_call_reaches_is_where_the_slider_stands(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(str(tmp_path / "run"))
    shutil.copytree(run.location, copy.location)
    copy.write_json("run.json", {"settings": SETTINGS | {"calculator.min-contrast": 9.0}})
    page = make_page(copy, tmp_path)
    assert '<output class="live">at 9.00 nats: 0 calls</output>' in page


def test_the_page_asks_nobody_for_anything(page: str) -> None:
    assert "default-src 'none'" in html.unescape(page)
    assert not re.findall(r"""(?:https?:|//[a-z]|url\((?!#)|@import|\bsrc=)""", page)


def test_a_call_without_decoys_stands_in_the_columns_of_the_others(run: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(str(tmp_path / "run"))
    shutil.copytree(run.location, copy.location)
    rows = copy.read_shard("scored", "part-00000", Scored)
    bare = {"call_input": "bare", "is_kept": False, "contrast": None, "losses_of_decoys": (), "loss_in_place": None}
    write(copy, "scored", Scored, [*rows, make_row(Scored, **vars(rows[0]) | bare)])
    header, *shown = Tables(make_page(copy, tmp_path)).by_section["edges"][1]
    (row,) = [dict(zip(header, row, strict=True)) for row in shown if row[1] == "bare"]
    # Its losses before the text, which the paper's filter compares, are not taken for losses in its place.
    assert (row["no call"], row["with the answer"], row["with other answers"], row["contrast"]) == ("3.000", "", "", "")


def test_a_page_on_a_run_that_has_just_begun_says_so(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path / "run"))
    run.write_json("run.json", {"settings": SETTINGS})
    page = make_page(run, tmp_path)
    assert "0 of 0 shards are through" in page and "No call has been judged so far." in page


def test_shards_that_are_not_through_do_not_count(run: RunFolder, page: str, tmp_path: Path) -> None:
    copy = RunFolder(str(tmp_path / "run"))
    shutil.copytree(run.location, copy.location)
    write(copy, "documents", Document, [make_row(Document, text_id="c-0")], shard="part-00001")
    write(copy, "scored", Scored, [make_row(Scored, text_id="c-0", tool="Calculator")], shard="part-00001")
    later = make_page(copy, tmp_path)
    assert "1 of 2 shards are through" in later
    assert Tables(later).by_section["funnel"] == Tables(page).by_section["funnel"]


def test_what_is_wrong_is_one_line(run: RunFolder, refuse: Refuse, tmp_path: Path) -> None:  # noqa: F811
    assert refuse("report", str(tmp_path), "--out", "x.html").startswith("no run folder in ")
    assert refuse("report", run.location, "--out", str(tmp_path)).startswith(f"--out is {tmp_path}; it is a folder")
    absent = tmp_path / "absent/report.html"
    assert refuse("report", run.location, "--out", str(absent)) == f"--out is {absent}; its folder is not there"
    copy = tmp_path / "copy"
    shutil.copytree(run.location, copy)
    (copy / "scored/part-00000.parquet").write_bytes(b"PAR1")
    assert "cannot be read" in refuse("report", str(copy), "--out", str(tmp_path / "report.html"))
    assert not (tmp_path / "report.html").exists()


SCRIPT = """
const made = [];
globalThis.document = { querySelectorAll: () => made };
%s
const chart = { dataset: { low: "0", high: "2", left: "50", right: "650" }, bars: [0.5, 1.0].map(bar), line: {} };
function bar(from) {
  const one = { dataset: { from }, classList: { toggle: (_, on) => { one.kept = on; } } };
  return one;
}
chart.querySelectorAll = () => chart.bars;
chart.querySelector = () => ({ setAttribute: (name, value) => { chart.line[name] = value; } });
moveThreshold(chart, 1.0);
const curve = { kept: [1200, 7], decoys: [300, 0], share: [0.25, null] };
const said = [0, 1].map((at) => whatIsKept(curve, 0.5, at));
console.log(JSON.stringify({ said, kept: chart.bars.map((one) => one.kept), x: chart.line.x1 }));
"""


def test_the_slider_moves_the_line_and_the_counts() -> None:
    if not (node := shutil.which("node")):
        pytest.skip("there is no node to run the page's script in")
    script = SCRIPT % (ROOT / "workflow/html_report/page.js").read_text(encoding="utf-8").replace('"use strict";', "")
    ran = subprocess.run([node, "-e", script], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == {
        "said": [
            "at 0.00 nats: 1,200 calls, 300 decoys would pass, estimated false share 25.0%",
            "at 0.50 nats: 7 calls",
        ],
        "kept": [False, True],
        "x": 350,
    }
