"""What a run on a real Ray tells of itself while it goes on: its folder, its metrics, its log."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from tests.support.small_jobs import SmallRecipe, run_small_job
from toolformer_ray.jobs.driver.metrics import start_metrics
from toolformer_ray.records.counts import Count, write_counts
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.workflow.log import set_format
from toolformer_ray.workflow.report.status import read_status

pytestmark = pytest.mark.usefixtures("workers_in_process")


def test_attempts_that_were_repeated_are_told_from_shards_that_were_given_up(tmp_path: Path) -> None:
    outcome = run_small_job(tmp_path, SmallRecipe(fault=OSError("broken\nand more")), max_attempts=3)
    (tmp_path / "run.json").write_text("{}")
    status = read_status(RunFolder(str(tmp_path)))
    rows = {row.stage: row for row in status.stages}
    assert (rows["execute"].tried_again, rows["execute"].failed, rows["execute"].to_do) == (2, 1, 0)
    assert (rows["score"].tried_again, rows["score"].failed, rows["score"].to_do) == (0, 0, 0)
    assert [(row.shard, row.attempts, row.error) for row in status.failures] == [("part-00001", 3, "OSError: broken")]
    # What the driver told is what the footers tell.
    told = json.loads((tmp_path / "progress.json").read_text())
    assert told["counts"] == {stage: write_counts(counts) for stage, counts in status.counts.items()}
    assert told["counts"] == {stage: write_counts(counts) for stage, counts in outcome.ledger.counts.items()}
    assert told["done"] == {row.stage: row.shards_done for row in status.stages}

    worked = told["seconds_worked"]
    again = run_small_job(tmp_path, SmallRecipe())
    told = json.loads((tmp_path / "progress.json").read_text())
    # Nine of the twelve texts were through before.
    assert (told["finished_texts"], again.ledger.num_new_texts) == (12, 3)
    assert told["seconds_worked"] > worked > 0
    assert told["texts_per_second"] == again.last.texts_per_second
    status = read_status(RunFolder(str(tmp_path)))
    assert (status.state, status.num_failed) == ("finished", 0)
    assert [row.tried_again for row in status.stages] == [0, 0, 0, 0, 0]


def scrape(run: str, wanted: dict[str, float]) -> dict[str, float]:
    """The numbers of a run on the node's endpoint, by name and tags, as soon as they are the wanted ones; or the last.

    Ray gathers them every half second.
    """
    (node,) = ray.nodes()
    deadline, found = time.monotonic() + 30, dict[str, float]()
    while time.monotonic() < deadline and not wanted.items() <= found.items():
        with urllib.request.urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics") as page:
            found = dict(read_samples(page.read().decode(), run))
    return found


def read_samples(page: str, run: str) -> Iterator[tuple[str, float]]:
    for line in page.splitlines():
        if line.startswith("ray_toolformer_") and f'run="{run}"' in line:
            tags = dict(re.findall(r'(\w+)="([^"]*)"', line))
            told = [tags[name] for name in ("stage", "reason", "status", "tool", "le") if name in tags]
            yield " ".join([line.partition("{")[0].removeprefix("ray_toolformer_"), *told]), float(line.split()[-1])


def test_prometheus_reads_the_counts_of_the_ledger(tmp_path: Path) -> None:
    recipe = SmallRecipe(fault=OSError("broken"), unanswered="timeout")
    ledger = run_small_job(tmp_path, recipe, max_attempts=2).ledger
    # Of four shards the second fails while executing, twice. Three shards have two calls or one.
    counts = ledger.counts["execute"]
    wanted = {
        "texts": 12,
        "texts_finished_total": 9,
        "shards_done_total propose": 4,
        "shards_done_total score": 3,
        "shards_failed_total execute": 1,
        "attempts_repeated_total execute": 1,
        "calls_total ok Add": counts[Count("status", "ok", "Add")],
        "calls_kept_total Add": ledger.counts["score"][Count("kept", tool="Add")],
        "dropped_total propose no_position Add": ledger.counts["propose"][Count("dropped", "no_position", "Add")],
        "shards_in_flight score": 0,
        "calls_asked_total Add": counts[Count("asked", tool="Add")],
    }
    assert 0 not in {value for name, value in wanted.items() if "total" in name}
    found = scrape(str(tmp_path), wanted)
    assert {name: found.get(name) for name in wanted} == wanted
    assert found["driver_memory_bytes"] > 10 * 2**20


def test_over_ray_client_an_actor_tells_prometheus_and_counters_grow_by_what_is_new(tmp_path: Path) -> None:
    snapshot = run_small_job(tmp_path, SmallRecipe(num_shards=1)).last
    record = start_metrics("elsewhere", is_client=True)
    record(snapshot)
    record(replace(snapshot, finished_texts=snapshot.finished_texts + 2))
    record(replace(snapshot, finished_texts=snapshot.finished_texts + 2))
    wanted = {"texts_finished_total": 5, "shards_done_total score": 1, "texts": 3}
    found = scrape("elsewhere", wanted)
    assert {name: found.get(name) for name in wanted} == wanted


def test_a_log_for_machines_has_an_object_for_each_attempt_and_each_shard_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_format("json")
    try:
        run_small_job(tmp_path, SmallRecipe(fault=OSError("broken")), max_attempts=2)
    finally:
        set_format("text")
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    shown = [(row["event"], row["stage"], row["shard"], row["attempt"], row["error"]) for row in told if "shard" in row]
    assert shown == [
        (event, "execute", "part-00001", attempt, "OSError: broken")
        for attempt, event in ((1, "retry"), (2, "shard_failed"))
    ]
