"""A run with calls that need earlier ones: the same rows in shards of any size, whoever brings the tool."""

import json
from pathlib import Path

import pytest

from tests.support.calling_model import save_calling_model
from toolformer_ray.jobs.cli.main import main
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.schema import Record
from toolformer_ray.records.stages import Augmented, Dropped, Executed, Scored

pytestmark = pytest.mark.usefixtures("workers_in_process")

TOOL = '''
"""A tool in which every call uses what its first sign names and defines what its last sign names."""
from toolformer_ray.tools.tool import Tool


class Linked(Tool):
    name = "Linked"
    description = "Says behind how many calls it was asked."
    instruction = "Add calls such as [Linked(1+2)]."
    demonstrations = ("It is [Linked(1+2)] 3.", "It is [Linked(2+2)] 4.")

    def wants(self, document):
        return True

    def defines(self, call_input):
        return {call_input[-1:]}

    def uses(self, call_input):
        return {call_input[:1]}

    def run(self, call_input, context):
        return f"{len(context.earlier)} before"
'''


@pytest.fixture(scope="module")
def annotated(workers_in_process: None, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By size of a shard, the run."""
    folder = tmp_path_factory.mktemp("linked")
    model = save_calling_model(folder / "model", tool="Linked")
    (folder / "linked.py").write_text(TOOL)
    texts = [f"Mill {n} ground {400 + n} sacks in May, and {n} more in June." for n in range(6)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    runs = {}
    for size in (1, 6):
        runs[size] = folder / f"run-{size}"
        asked = ["annotate", "--run", str(runs[size]), "--corpus", str(folder / "texts.jsonl"), "--model", model]
        how = ["--tools", str(folder / "linked.py"), "--filter", "paper", "--prune-below=-9", "--shard-size", str(size)]
        taught = ["max-places", "16", "num-samples", "8", "min-loss-reduction", "-9"]
        options = [f"--linked.{name}={value}" for name, value in zip(taught[::2], taught[1::2], strict=True)]
        assert main([*asked, *how, *options, "--max-call-tokens", "8", "--model-workers", "1"]) == 0
    return runs


def rows(run: Path, table: str, record: type[Record]) -> list:
    folder = RunFolder(str(run))
    return [row for shard in folder.shards(table) for row in folder.read_shard(table, shard, record)]


def test_a_call_is_answered_behind_those_that_its_row_names(annotated: dict[int, Path]) -> None:
    executed = rows(annotated[6], "executed", Executed)
    assert {len(row.needs) for row in executed} >= {0, 1, 2}
    assert all(row.result == f"{len(row.needs)} before" for row in executed)


def test_rows_do_not_depend_on_the_shards(annotated: dict[int, Path]) -> None:
    def told(run: Path) -> list[tuple[str, int, str, tuple[str, ...], str | None]]:
        found = rows(run, "scored", Scored)
        return sorted((row.text_id, row.char_offset, row.call_input, row.needs, row.result) for row in found)

    def texts(run: Path) -> dict[str, str]:
        return {row.text_id: row.text for row in rows(run, "augmented", Augmented)}

    assert told(annotated[1]) == told(annotated[6])
    assert texts(annotated[1]) == texts(annotated[6])


def test_calls_in_c_star_stand_behind_what_they_need_and_the_others_are_dropped_with_the_reason(
    annotated: dict[int, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    needs = {(row.text_id, row.char_offset, row.call_input): row.needs for row in rows(annotated[6], "scored", Scored)}
    num_needing = 0
    for row in rows(annotated[6], "augmented", Augmented):
        for number, call in enumerate(row.calls):
            needed = needs[row.text_id, call.char_offset, call.call_input]
            assert set(needed) <= {before.call_input for before in row.calls[:number]}
            num_needing += bool(needed)
    assert num_needing
    drops = rows(annotated[6], "dropped/interleave", Dropped)
    assert "definition_not_kept" in {drop.reason for drop in drops}
    assert main(["verify", str(annotated[6])]) == 0
    capsys.readouterr()
    assert main(["query", str(annotated[6]), "SELECT count(*) FROM dropped WHERE reason = 'definition_not_kept'"]) == 0
    told = capsys.readouterr().out
    assert str(sum(drop.reason == "definition_not_kept" for drop in drops)) in told
