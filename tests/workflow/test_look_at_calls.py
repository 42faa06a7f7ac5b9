"""`toolformer show` and `toolformer review`: calls in their texts, and a verdict on each that stays."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tests.support.refusals import Refuse, refuse  # noqa: F401 - a fixture
from tests.support.rows import make_row
from tests.support.small_run import write, write_small_run
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, Document, Scored
from toolformer_ray.workflow.calls.review import ReviewOptions, review_calls
from toolformer_ray.workflow.calls.show import ShowOptions, show_calls
from toolformer_ray.workflow.report.judgements import read_judgements
from toolformer_ray.workflow.report.status import read_status
from toolformer_ray.workflow.totals import estimate_share

KEPT = "[Calculator(400 / 1400) -> 0.29]"
TRANSLATED = '[MT("quatre") -> four]'
MISSED = "[Calculator(1400 - 400) -> 1000]"
STRUCK = '[MT("passed") -> passed]'


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = write_small_run(str(tmp_path / "run"))
    thresholds = {"calculator.min-contrast": 1.0, "translation.min-contrast": 1.0}
    folder.write_json(
        "run.json", {"settings": {"tools": ["calculator", "translation"], "filter": "decoys"} | thresholds}
    )
    return folder


def shown(run: RunFolder, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["show", run.location, *options]) == 0
    return capsys.readouterr().out


def test_what_is_shown_can_be_drawn_without_a_font_from_elsewhere(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "calls.svg"
    shown(run, capsys, "--svg", str(picture))
    drawn = picture.read_text(encoding="utf-8")
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    words = " ".join(part.replace("\N{NO-BREAK SPACE}", " ") for part in root.itertext())
    assert root.tag.endswith("svg") and KEPT in words and "2 of 5 calls are kept" in words
    assert not re.findall(r"https?:(?!//www.w3.org/2000/svg)|url\((?!#)|@import|@font-face|<script", drawn)
    assert not list(tmp_path.glob("*.partial"))


def test_a_picture_that_cannot_be_written_is_one_line(run: RunFolder, refuse: Refuse, tmp_path: Path) -> None:  # noqa: F811
    told = refuse("show", run.location, "--svg", str(tmp_path / "none" / "calls.svg"))
    assert told.startswith("--svg is ") and "it cannot be written: " in told


def calls_in(output: str) -> list[str]:
    return re.findall(r"\[\w+\(.*?\]", output)


def test_kept_calls_are_shown_in_their_text_with_their_losses(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    output = shown(run, capsys)
    assert sorted(calls_in(output)) == [KEPT, TRANSLATED]
    assert f"people 400 (or {KEPT} 0.29 of them) passed." in output
    assert (
        "kept: loss no call 3.00, with the answer 0.50, with other answers 3.00, contrast 2.50; kept from 1.00"
        in output
    )
    assert output.endswith("2 of 5 calls are kept\n") and "\x1b" not in output


def test_where_nothing_is_kept_it_is_said_how_to_see_what_came_closest(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run.read_shard("scored", "part-00000", Scored)
    write(run, "scored", Scored, [make_row(Scored, **vars(row) | {"is_kept": False}) for row in rows])
    assert shown(run, capsys).endswith("0 of 5 calls are kept; --near shows those that came closest\n")
    assert shown(run, capsys, "--near").endswith("0 of 5 calls are kept\n")
    for options in ([], ["--page"]):
        assert main(["review", run.location, *options]) == 0
        assert "`toolformer show RUN --near`" in capsys.readouterr().out


def test_rejected_calls_and_those_near_the_threshold_are_others(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sorted(calls_in(shown(run, capsys, "--rejected"))) == [MISSED, STRUCK]
    # The worth 0.75 and 1.5 lie 0.25 and 0.5 from the threshold.
    assert calls_in(shown(run, capsys, "--near", "--number", "2")) == [MISSED, TRANSLATED]


@pytest.mark.parametrize("name", ["MT", "translation"])
def test_a_tool_is_named_as_in_calls_or_as_on_the_command_line(
    name: str, run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calls_in(shown(run, capsys, "--tool", name)) == [TRANSLATED]


@pytest.mark.parametrize("name", ["a", "a-0"])
def test_a_text_is_shown_whole_with_its_calls(name: str, run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    first, *_ = shown(run, capsys, "--text", name, "--tool", "Calculator").splitlines()
    assert first == f"🏫 Out of 1400 people 400 (or {KEPT} 0.29 of them) passed."


def test_colours_come_on_a_terminal_only(run: RunFolder) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, highlight=False, markup=False, width=200)
    assert show_calls(run.location, ShowOptions(), terminal) == 0
    assert "\x1b[1;32m" in terminal.file.getvalue()


def test_no_text_steers_the_terminal(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    told = {"text_id": "e-0", "doc_id": "e"}
    document = make_row(Document, **told, text="[bold]a\x1b]0;title\x07 \u202eb\x9b2J is 5")
    losses = {"loss_in_place": 0.5, "losses_of_decoys": (2.5, 2.5), "contrast": 2.0}
    call = make_row(Scored, text_id="e-0", tool="Calculator", call_input="2\x1b[2J", result="\x1b[31m5", **losses)
    write(run, "documents", Document, [document], shard="part-00001")
    write(run, "scored", Scored, [call], shard="part-00001")
    write(run, "augmented", Augmented, [], shard="part-00001")
    for options in ([], ["--text", "e-0"]):
        output = shown(run, capsys, *options)
        assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", output)
        assert "[Calculator(2\N{REPLACEMENT CHARACTER}[2J) -> \N{REPLACEMENT CHARACTER}[31m5]" in output


def test_what_is_wrong_is_one_line(run: RunFolder, refuse: Refuse) -> None:  # noqa: F811
    assert refuse("show", run.location, "--tool", "QA") == "--tool is QA; the run has calls of Calculator, MT"
    assert refuse("show", run.location, "--number", "0") == "--number is 0; it must be at least 1 call"
    assert refuse("show", run.location, "--text", "z").startswith("--text is z; no text of the run")
    assert refuse("show", run.location, "--near", "--rejected").startswith("--near is given; leave it out with")
    assert refuse("review", run.location, "--sample", "0") == "--sample is 0; it must be at least 1 call"


def judge(run: RunFolder, keys: str, sample: int = 50) -> list[str]:
    """Press the keys; the calls that were shown."""
    pressed: Iterator[str] = iter(keys)
    console = Console(file=io.StringIO(), highlight=False, markup=False, width=200)
    assert review_calls(run.location, ReviewOptions(sample=sample), lambda: next(pressed, ""), console) == 0
    return calls_in(console.file.getvalue())


def verdicts(run: RunFolder) -> dict[str, str]:
    return {one.tool: one.verdict for one in read_judgements(run)}


def test_each_key_is_a_verdict_on_disk_and_a_later_review_goes_on(run: RunFolder) -> None:
    assert judge(run, "rq") == [KEPT, TRANSLATED]
    assert verdicts(run) == {"Calculator": "right"}
    assert judge(run, "xu") == [TRANSLATED]
    assert verdicts(run) == {"Calculator": "right", "MT": "useless"}
    assert judge(run, "w") == []


def test_a_verdict_can_be_taken_back_and_the_input_may_end(run: RunFolder) -> None:
    assert judge(run, "rbw") == [KEPT, TRANSLATED, KEPT, TRANSLATED]
    assert verdicts(run) == {"Calculator": "wrong"}


def test_a_call_whose_answer_has_changed_is_judged_again(run: RunFolder) -> None:
    judge(run, "rr")
    rows = run.read_shard("scored", "part-00000", Scored)
    changed = [make_row(Scored, **vars(row) | {"result": "0.3"}) if row.result == "0.29" else row for row in rows]
    write(run, "scored", Scored, changed)
    assert judge(run, "q") == ["[Calculator(400 / 1400) -> 0.3]"]


def test_a_small_sample_takes_turns_between_the_tools(run: RunFolder) -> None:
    rows = run.read_shard("scored", "part-00000", Scored)
    more = [make_row(Scored, **vars(rows[0]) | {"call_input": f"40{n} / 1400"}) for n in range(5)]
    write(run, "scored", Scored, [*rows, *more])
    assert [call.partition("(")[0] for call in judge(run, "rr", sample=2)] == ["[Calculator", "[MT"]


def test_status_tells_the_precision_with_wilson_s_interval(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_status(run).judged == []
    judge(run, "rw")
    assert main(["status", run.location]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["Calculator", "1", "1", "0", "0", "100%", "21%", "to", "100%"] in lines
    assert ["MT", "1", "0", "1", "0", "0%", "0%", "to", "79%"] in lines
    (Path(run.root) / "judgements/part-00000.parquet").write_bytes(b"PAR1")
    assert "review again" in read_status(run).remarks[-1]


def test_wilson_s_interval_is_that_of_the_books() -> None:
    # Newcombe 1998, table I: 81 of 263 is 0.2553 to 0.3662, 0 of 20 is 0 to 0.1611.
    some, none = estimate_share(81, 263), estimate_share(0, 20)
    assert (some.low, some.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=5e-5)
