"""Two results are compared on the questions that both were asked."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.refusals import Refuse
from toolformer_ray.evals.compare import compare_results, compare_ways, differences, read_results
from toolformer_ray.evals.paired import Paired
from toolformer_ray.jobs.cli.main import main


def row(prompt: str, *, right: bool, task: str = "sums", tools: bool = True, answer: str = "1") -> dict[str, object]:
    return {"task": task, "with_tools": tools, "prompt": prompt, "answers": [answer], "is_right": right}


def write(path: Path, *rows: dict[str, object], made_with: dict[str, object] | None = None) -> Path:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    if made_with:
        path.with_suffix(".json").write_text(json.dumps({"made_with": made_with}))
    return path


def test_questions_are_paired_by_what_is_asked_and_not_by_their_number(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", row("p", right=True), row("q", right=False), row("only here", right=True))
    second = write(tmp_path / "b.parquet", row("q", right=True), row("p", right=True), row("p", right=True, answer="2"))
    (found,) = compare_results(first, second)
    assert found.paired == Paired(both=1, only_second=1)
    assert (found.task, found.way, found.num_unshared) == ("sums", "with tools", 2)


def test_a_question_that_is_asked_twice_counts_twice(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", row("p", right=True), row("p", right=False))
    second = write(tmp_path / "b.parquet", row("p", right=True), row("p", right=True))
    (found,) = compare_results(first, second)
    assert found.paired == Paired(both=1, only_second=1)


def test_the_two_ways_of_one_result_are_compared(tmp_path: Path) -> None:
    rows = [row("p", right=True), row("p", right=False, tools=False), row("q", right=True, task="without")]
    (found,) = compare_ways(rows)
    assert (found.task, found.paired) == ("sums", Paired(only_second=1))


def test_the_command_tells_differences_and_what_else_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(f"{number}", right=number < 6) for number in range(10)]
    better = [row(f"{number}", right=number < 9) for number in range(10)]
    more = [row("x", right=True, task="facts")]
    first = write(tmp_path / "a.parquet", *rows, *more, made_with={"model": "1", "settings": {"seed": 0, "stop": []}})
    second = write(
        tmp_path / "b.parquet", *better, *more, made_with={"model": "2", "settings": {"seed": 0, "stop": []}}
    )
    assert main(["compare-results", str(first), str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    # n = 10, b = 0, c = 3: 3/12 -+ 1.96 sqrt(4 - 3**2 / 12) / 12, and three heads or three tails of three coins.
    assert re.split(r"\s{2,}", lines[2]) == [
        *("sums", "with tools", "10", "60.0%", "90.0%", "+30.0", "-4.4 to +54.4", "0", "3", "0.250")
    ]
    assert re.split(r"\s{2,}", lines[4])[:3] == ["all", "with tools", "11"]
    assert lines[5:] == ["made with other model: 1 and 2"]


def test_the_command_compares_tools_with_calls_disabled_in_one_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = write(tmp_path / "a.parquet", row("p", right=True), row("p", right=False, tools=False))
    assert main(["compare-results", str(result)]) == 0
    assert "sums  tools against calls disabled" in capsys.readouterr().out


def test_results_without_a_record_of_how_they_were_made_are_compared_all_the_same(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, row("p", right=True)) for name in ("a.parquet", "b.parquet"))
    assert differences(first, second) == []


def test_what_cannot_be_compared_is_refused_in_one_line(refuse: Refuse, tmp_path: Path) -> None:
    good = write(tmp_path / "a.parquet", row("p", right=True))
    other = write(tmp_path / "b.parquet", row("q", right=True))
    assert "share no question" in refuse("compare-results", str(good), str(other))
    assert "there is no file" in refuse("compare-results", str(good), str(tmp_path / "none.parquet"))
    (tmp_path / "poor.parquet").write_bytes(b"PAR1")
    assert "cannot be read as results" in refuse("compare-results", str(good), str(tmp_path / "poor.parquet"))
    pq.write_table(pa.table({"x": [1]}), tmp_path / "c.parquet")
    assert "holds no results: its columns are x" in refuse("compare-results", str(tmp_path / "c.parquet"))
    assert read_results(good)[0]["prompt"] == "p"
