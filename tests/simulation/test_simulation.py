"""A simulated run holds rows like those of real text, and the same ones however its tools are asked."""

from pathlib import Path

import pytest
import ray

from tests.simulation.listing import make_full_run
from tests.simulation.measure import Sample, measure, usage_table
from tests.simulation.recipe import SimulatedRecipe
from tests.simulation.rows import BY_NAME
from tests.simulation.tools import Trouble
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Candidate, Document, Executed, Scored
from toolformer_ray.workflow.verify.check import check_run

NUM_TEXTS = 500


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_full_run(tmp_path_factory.mktemp("simulated"), num_shards=1, shard_size=NUM_TEXTS)


def in_trouble(trouble: Trouble, num_texts: int) -> tuple[SimulatedRecipe, list[Document]]:
    """A recipe whose tools may be in trouble, and its texts."""
    recipe = SimulatedRecipe(num_texts=num_texts, shard_size=num_texts, speedup=1e9, trouble=trouble)
    return recipe, list(next(recipe.open("cpu").ingest([]))[0])


def test_every_text_and_call_is_accounted_for(run: RunFolder) -> None:
    tally = check_run(run.location)
    assert (tally.findings, tally.texts) == ([], NUM_TEXTS)


def test_tools_are_called_and_calls_are_kept_as_often_as_on_real_text(run: RunFolder) -> None:
    rows = run.read_shard("scored", "part-00000", Scored)
    for name, profile in BY_NAME.items():
        calls = [row for row in rows if row.tool == name]
        assert len(calls) / NUM_TEXTS == pytest.approx(profile.calls_per_text, rel=0.25)
        assert sum(row.is_kept for row in calls) / len(calls) == pytest.approx(profile.kept, abs=0.05)


def test_tools_that_are_asked_one_call_at_a_time_give_the_same_rows(run: RunFolder, tmp_path: Path) -> None:
    recipe, documents = in_trouble(Trouble(str(tmp_path)), NUM_TEXTS)
    expected = run.read_shard("executed", "part-00000", Executed)[:60]
    calls = run.read_shard("candidates", "part-00000", Candidate)[:60]
    rows, _ = recipe.open("tools").compute("execute", [calls, documents], recipe.tools)
    assert [(row.status, row.result) for row in rows] == [(row.status, row.result) for row in expected]


def test_tools_in_trouble_have_no_answer_and_say_how_many_calls_met_it(tmp_path: Path) -> None:
    trouble = Trouble(str(tmp_path))
    recipe, documents = in_trouble(trouble, 5)
    calls, _ = recipe.open("model").compute("propose", [documents], recipe.tools)
    trouble.begin("garbage")
    rows, _ = recipe.open("tools").compute("execute", [calls, documents], recipe.tools)
    assert {row.status for row in rows} == {"crashed"}
    assert trouble.num_felt == len(rows)


def test_a_shard_takes_the_texts_time_on_average_and_its_own_each_time() -> None:
    recipe = SimulatedRecipe(num_texts=0, shard_size=100, speedup=2.0)
    seconds = [recipe.seconds("score", shard, 100) for shard in range(2000)]
    assert sum(seconds) / len(seconds) == pytest.approx(100 * 0.075 / 2, rel=0.05)
    assert recipe.seconds("score", 7, 100) == seconds[7] != seconds[8]


def test_the_cost_of_the_driver_can_be_measured(
    shared_ray: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
    figures, samples = measure(["--shards", "3", "--step", "1", "--every", "0.02"])
    assert figures["shards"] == 3 and figures["first_result_s"] > 0 and figures["ms_per_shard"] > 0
    assert min(samples[-1].cpu_seconds.values()) > 0, samples[-1].cpu_seconds
    assert "| shards | driver MiB | ms a shard |" in capsys.readouterr().out


def test_the_cost_of_shards_is_what_was_spent_since_the_line_before() -> None:
    samples = [
        Sample(
            num_done=done,
            seconds=seconds,
            cpu_seconds={"driver": cpu, "workers": 2 * cpu, "Ray": 0.0},
            driver_bytes=200 * 2**20,
        )
        for done, seconds, cpu in ((0, 1.0, 5.0), (10, 2.0, 6.0), (15, 2.5, 6.1), (20, 4.0, 6.5))
    ]
    # From 10 shards to 20 in 2 s and 0.5 s of the driver's CPU; what came before the first shard does not count.
    assert usage_table(samples, 10).splitlines()[2:] == ["| 20 | 200 | 200.00 | 50.00 | 100.00 | 0.00 |"]
