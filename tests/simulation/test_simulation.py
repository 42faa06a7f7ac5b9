"""A simulated run holds rows like those of real text, and the same ones however its tools are asked."""

from pathlib import Path

import pytest

from tests.simulation.listing import make_full_run
from tests.simulation.recipe import ServiceTimes, SimulatedRecipe
from tests.simulation.rows import PROFILES
from tests.simulation.tools import Trouble
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Candidate, Executed, Scored
from toolformer_ray.workflow.verify.check import check_run

NUM_TEXTS = 500


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_full_run(tmp_path_factory.mktemp("simulated"), num_shards=1, shard_size=NUM_TEXTS)


def test_every_text_and_call_is_accounted_for(run: RunFolder) -> None:
    tally = check_run(run.location)
    assert (tally.findings, tally.texts) == ([], NUM_TEXTS)


def test_tools_are_called_and_calls_are_kept_as_often_as_on_real_text(run: RunFolder) -> None:
    rows = run.read_shard("scored", "part-00000", Scored)
    for profile in PROFILES.values():
        calls = [row for row in rows if row.tool == profile.name]
        assert len(calls) / NUM_TEXTS == pytest.approx(profile.calls_per_text, rel=0.25)
        assert sum(row.is_kept for row in calls) / len(calls) == pytest.approx(profile.kept, abs=0.05)


def test_tools_that_are_asked_one_call_at_a_time_give_the_same_rows(run: RunFolder, tmp_path: Path) -> None:
    recipe = SimulatedRecipe(
        num_texts=NUM_TEXTS,
        shard_size=NUM_TEXTS,
        times=ServiceTimes(speedup=1e9),
        trouble=Trouble(str(tmp_path)),
    )
    expected = run.read_shard("executed", "part-00000", Executed)[:60]
    documents = next(recipe.ingest([]))[0]
    calls = run.read_shard("candidates", "part-00000", Candidate)[:60]
    rows, _ = recipe.open("tools")("execute", [calls, list(documents)], recipe.tool_names)
    assert [(row.status, row.result) for row in rows] == [(row.status, row.result) for row in expected]


def test_tools_in_trouble_have_no_answer_and_say_how_many_calls_met_it(tmp_path: Path) -> None:
    trouble = Trouble(str(tmp_path))
    recipe = SimulatedRecipe(num_texts=5, shard_size=5, times=ServiceTimes(speedup=1e9), trouble=trouble)
    documents = list(next(recipe.ingest([]))[0])
    calls, _ = recipe.open("model")("propose", [documents], recipe.tool_names)
    trouble.begin("garbage")
    rows, _ = recipe.open("tools")("execute", [list(calls), documents], recipe.tool_names)
    assert {row.status for row in rows} == {"crashed"}
    assert trouble.num_felt == len(rows)


def test_a_shard_takes_the_texts_time_on_average_and_its_own_each_time() -> None:
    times = ServiceTimes(speedup=2.0)
    seconds = [times.seconds("score", shard, 100, seed=0) for shard in range(2000)]
    assert sum(seconds) / len(seconds) == pytest.approx(100 * 0.075 / 2, rel=0.05)
    assert times.seconds("score", 7, 100, seed=0) == seconds[7] != seconds[8]
