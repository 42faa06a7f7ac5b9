"""When a tool has no kept call, the run says where its calls were lost and what to try."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.counts import ROWS, Count
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.workflow.report.nothing_kept import describe_nothing_kept

TEXT = "Two boxes of 12 eggs are 24 eggs."
KEPT = Count("kept", tool="Calculator")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(str(tmp_path / "run"))
    run.write_json("run.json", {"settings": settings("decoys")})
    return run


def settings(name: str) -> dict[str, object]:
    return {
        "tools": ["calculator"],
        "filter": name,
        "calculator.min-contrast": 0.5,
        "calculator.min-loss-reduction": 1.0,
    }


STATUSES = ("ok", "timeout", "crashed")
PLAIN = ("places", "calls", "lost_at_once")


def counts(**numbers: int) -> dict[str, Counter[Count]]:
    """Those of a run of 10 texts: a number of places or calls, of calls with a status, or of drops for a reason."""
    found = Counter[Count]()
    for name, number in numbers.items():
        if name in PLAIN:
            found[Count(name, tool="Calculator")] = number
        else:
            found[Count("status" if name in STATUSES else "dropped", name, "Calculator")] = number
    return {"ingest": Counter({ROWS: 10}), "propose": found, "score": Counter({ROWS: 0})}


def write_scored(run: RunFolder, *calls: Scored) -> None:
    for table, record, rows in (
        ("documents", Document, [make_row(Document, text=TEXT)]),
        ("scored", Scored, calls),
    ):
        run.write_shard(table, "part-00000", record, rows, fingerprint="0", counts={ROWS: len(rows)})


def call(call_input: str, contrast: float | None, loss_without: float = 3.0, **columns: object) -> Scored:
    place = {"tool": "Calculator", "char_offset": TEXT.index(" 24"), "call_input": call_input, "result": "24"}
    given = {"contrast": contrast, "loss_without": loss_without, "is_kept": False} | columns
    return make_row(Scored, **place | given)


def why(run: RunFolder, **numbers: int) -> str:
    return describe_nothing_kept(run, counts(**numbers), ["Calculator"])


def test_the_best_calls_are_shown_with_what_they_miss_and_the_threshold_that_would_keep_one(run: RunFolder) -> None:
    # Of each call the value that is furthest below 0.5 counts: 0.387, 0.25, 0.1 and nothing that can be judged.
    write_scored(run, call("2*12", 0.25), call("12+12", 0.387), call("12*2", 2.0, 0.1), call("24", None))
    head, header, _, *rows, remedy = why(run, places=4, calls=4, ok=4).splitlines()
    assert head == "no call of Calculator was kept: of 4 answered calls these came closest"
    assert header.startswith("contrast (needs 0.5)")
    assert [row.split()[:4] for row in rows] == [
        ["0.387", "3.000", "contrast", "0.113"],
        ["0.250", "3.000", "contrast", "0.250"],
        ["2.000", "0.100", "loss_without", "0.400"],
    ]
    assert rows[0].endswith("… Two boxes of 12 eggs are [Calculator(12+12) -> 24] 24 eggs. …")
    assert remedy.startswith("the same command with --calculator.min-contrast 0.38 --change-settings keeps the first")
    assert "false share" in remedy


def test_with_the_filter_of_the_paper_the_loss_reduction_is_what_counts(run: RunFolder) -> None:
    run.write_json("run.json", {"settings": settings("paper")})
    write_scored(run, call("2*12", None, loss_reduction=0.875), call("12+12", None, loss_reduction=0.5))
    told = why(run, places=4, calls=2, ok=2)
    assert "loss_reduction 0.125" in told and "--calculator.min-loss-reduction 0.87 --change-settings" in told


def test_where_no_result_helped_no_threshold_is_named(run: RunFolder) -> None:
    write_scored(run, call("2*12", -0.25))
    assert why(run, places=1, calls=1, ok=1).splitlines()[-1].startswith("no result helped the model; try a larger")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"not_offered": 10}, "it was offered no text"),
        (
            {"loss_already_low": 7},
            "there was no place where one could start (7 places were left out since the model knows",
        ),
        (
            {"places": 5, "sample_malformed": 20, "sample_unfinished": 5},
            "at 5 places the model wrote no call (20 samples",
        ),
        ({"places": 5, "calls": 3, "timeout": 2, "crashed": 1}, "none of 3 calls was answered (crashed 1, timeout 2)"),
        (
            {"places": 5, "calls": 3, "ok": 3, "lost_at_once": 2},
            "none of 3 answered calls was compared: where 2 of them",
        ),
    ],
)
def test_it_is_said_where_calls_were_lost(run: RunFolder, numbers: dict[str, int], said: str) -> None:
    write_scored(run)
    told = why(run, **numbers)
    assert told.startswith(f"no call of Calculator was kept: {said}")
    assert len(told.splitlines()) == 1


def test_nothing_is_said_of_a_tool_with_a_kept_call_or_before_the_filter_has_run(run: RunFolder) -> None:
    write_scored(run)
    kept = counts(places=5, calls=3, ok=3)
    kept["score"][KEPT] = 1
    assert describe_nothing_kept(run, kept, ["Calculator"]) == ""
    assert describe_nothing_kept(run, counts(places=5) | {"score": Counter()}, ["Calculator"]) == ""


def test_status_says_why(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_json("run.json", {"settings": settings("decoys")})
    write_scored(run)
    assert main(["status", run.location]) == 0
    assert "no call of Calculator was kept: there was no place where one could start" in capsys.readouterr().out
