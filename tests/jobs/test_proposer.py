"""`toolformer annotate` where another model or an endpoint proposes: its own workers, what it tells, resuming."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.calling_model import save_calling_model
from tests.support.calling_run import arguments, assert_same_rows
from tests.support.proposing_endpoint import serving_sums
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder


@pytest.fixture(scope="module")
def proposer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_calling_model(tmp_path_factory.mktemp("proposer"), seed=1)


def settings_of(run: Path) -> Mapping[str, Any]:
    settings: Mapping[str, Any] = RunFolder(str(run)).read_json("run.json")["settings"]
    return settings


def test_another_model_proposes_and_the_run_says_who_and_goes_on(
    workers_in_process: None,
    corpus: Path,
    model: str,
    proposer: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    command = arguments(run, corpus, model, "--proposer", proposer)
    assert main(command) == 0
    assert main(["verify", str(run)]) == 0
    assert settings_of(run)["proposer"] == proposer
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")}
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.parquet")} == before
    capsys.readouterr()
    assert main(["status", str(run)]) == 0
    assert f"proposed by {proposer}" in capsys.readouterr().out
    assert main(["status", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["proposer"] == proposer
    assert main(arguments(run, corpus, model)) == 2
    assert f"--proposer was {proposer} and is not given" in capsys.readouterr().err


def endpoint_arguments(run: Path, corpus: Path, model: str, url: str) -> list[str]:
    return [
        *("annotate", "--run", str(run), "--corpus", str(corpus), "--model", model, "--tools", "calculator"),
        *("--proposer-url", url, "--proposer-model", "sums", "--shard-size", "5", "--max-call-tokens", "10"),
        *("--calculator.max-places", "3", "--calculator.num-samples", "2", "--calculator.min-contrast=0"),
        *("--max-attempts", "1", "--retry-delay", "0", "--model-workers", "1"),
    ]


def failures(run: Path) -> set[str]:
    return {json.loads(file.read_text())["error"] for file in (run / "failed").rglob("*.json")}


@pytest.mark.parametrize("has_log_probs", [True, False])
def test_an_endpoint_that_goes_away_fails_shards_in_a_line_and_no_answer_is_asked_twice(
    workers_in_process: None,
    corpus: Path,
    model: str,
    has_log_probs: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving_sums(has_log_probs=has_log_probs) as endpoint:
        assert main(endpoint_arguments(tmp_path / "whole", corpus, model, endpoint.url)) == 0
        assert settings_of(tmp_path / "whole")["proposer-places"] == ("endpoint" if has_log_probs else "model")
        num_requests = len(set(endpoint.answered))
    away: list[Callable[[Mapping[str, Any], int], str]] = [lambda _, n: "well" if n < num_requests // 2 else "401"]
    with serving_sums(has_log_probs=has_log_probs, fate=lambda *asked: away[0](*asked)) as endpoint:
        command = endpoint_arguments(tmp_path / "run", corpus, model, endpoint.url)
        assert main(command) == 1
        assert all("does not answer: HTTP 401" in told and "\n" not in told for told in failures(tmp_path / "run"))
        away[0] = lambda *_: "well"
        assert main(command) == 0
        # What is tried before each start is the same request, and is no part of the run.
        tried = 1 if has_log_probs else 0
        assert len(endpoint.answered) == len(set(endpoint.answered)) + tried
    assert_same_rows(tmp_path / "whole", tmp_path / "run")
    assert not failures(tmp_path / "run")
    capsys.readouterr()
    assert main(["status", str(tmp_path / "run")]) == 0
    assert f"proposed by sums at {endpoint.url}" in capsys.readouterr().out


def test_a_budget_that_is_spent_is_told_and_more_goes_on_from_there(
    workers_in_process: None, corpus: Path, model: str, tmp_path: Path
) -> None:
    with serving_sums() as endpoint:
        command = endpoint_arguments(tmp_path / "run", corpus, model, endpoint.url)
        assert main([*command, "--proposer-budget", "30"]) == 1
        assert failures(tmp_path / "run")
        assert all("budget of 30 requests is spent; raise" in told for told in failures(tmp_path / "run"))
        assert Counter(endpoint.answered).total() == 30 + 1, "and the one that was tried"
        assert main([*command, "--proposer-budget", "3000"]) == 0


def test_a_dead_endpoint_is_one_line_before_the_run_begins(
    corpus: Path, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_sums() as endpoint:
        pass
    assert main(endpoint_arguments(tmp_path / "run", corpus, model, endpoint.url)) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1 and f"--proposer-url is {endpoint.url}; " in told[0]
    assert not (tmp_path / "run").exists()
