"""The first kept calls are shown as they are found: new ones, one of a text, and not too many."""

from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.records.calls import insert_calls
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Augmented, KeptCall
from toolformer_ray.workflow.pipeline import PIPELINE
from toolformer_ray.workflow.report.kept_calls import KeptCalls

TEXT = "3 bags of 4 make 12 pens, and 5 more make 17."


def write(run: RunFolder, shard: str, num_texts: int = 1) -> None:
    calls = (
        KeptCall(tool="Calculator", call_input="3 * 4", result="12", char_offset=16, loss_reduction=0.5),
        KeptCall(tool="Calculator", call_input="12 + 5", result="17", char_offset=41, loss_reduction=0.9),
    )
    text = insert_calls(TEXT, calls)
    rows = [make_row(Augmented, text_id=f"{n}-0", text=text, num_calls=2, calls=calls) for n in range(num_texts)]
    run.write_shard("augmented", shard, Augmented, rows, fingerprint="f", counts={})


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(str(tmp_path))
    for shard, num_texts in (("part-00000", 1), ("part-00001", 2), ("part-00002", 3)):
        write(folder, shard, num_texts)
    return folder


def test_what_was_there_before_is_not_news_and_of_what_is_found_the_first_few_are_shown(run: RunFolder) -> None:
    kept = KeptCalls(run, PIPELINE[-1], 4)
    assert kept.found({"interleave": {"part-00000"}}) == []
    (first, second) = kept.found({"interleave": {"part-00000", "part-00001"}})
    # Of two calls the one that lowers the loss more, where it stands behind the other one.
    assert first == second
    assert first == (
        "kept: … of 4 make [Calculator(3 * 4) -> 12] 12 pens, and 5 more make [Calculator(12 + 5) -> 17] 17. …"
    )
    assert len(kept.found({"interleave": {"part-00000", "part-00001", "part-00002"}})) == 2
    write(run, "part-00003")
    assert kept.found({"interleave": {"part-00003"}}) == []


def test_a_quiet_run_reads_nothing(tmp_path: Path) -> None:
    kept = KeptCalls(RunFolder(str(tmp_path / "absent")), PIPELINE[-1], 0)
    assert kept.found({"interleave": set()}) == kept.found({"interleave": {"part-00000"}}) == []
