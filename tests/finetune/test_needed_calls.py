"""What the model learns from shows a call only behind those that define what it uses."""

from dataclasses import replace

from tests.support.rows import make_row
from tests.support.small_run import write
from toolformer_ray.finetune.choose import ChooseOptions, choose, choose_pairs
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Scored

DEFINE, USE, USE_BOTH = "f = lambda n: n; f(1)", "g = lambda n: f(n); g(2)", "g(3)"


def write_run(location: str, texts: dict[str, dict[str, float]]) -> str:
    """`texts`: by id, the loss reductions of calls that stand one after another, of which those of 1 nat are kept."""
    needs = {USE: (DEFINE,), USE_BOTH: (DEFINE, USE)}
    run = RunFolder(location)
    settings = {"tools": ["python"], "prune-below": 0.25, "python.min-loss-reduction": 1.0}
    run.write_json("run.json", {"settings": settings})
    write(run, "documents", Document, [make_row(Document, text_id=name, text="one two three four") for name in texts])
    rows = [
        make_row(
            Scored,
            text_id=name,
            tool="Python",
            call_input=call,
            char_offset=4 * number,
            needs=needs.get(call, ()),
            loss_without=4.0,
            loss_with_call=4.0,
            loss_with_result=4.0 - reduction,
            loss_reduction=reduction,
            is_kept=reduction >= 1,
        )
        for name, calls in texts.items()
        for number, (call, reduction) in enumerate(calls.items())
    ]
    write(run, "scored", Scored, rows)
    return location


def chosen(run: str, **asked: object) -> dict[str, list[str]]:
    examples = choose(ChooseOptions(run=(run,), num_held_out=0, **asked)).examples
    return {example.text_id: [call.call_input for call in example.calls] for example in examples}


def test_a_call_is_learned_from_only_behind_what_it_needs(tmp_path) -> None:
    texts = {
        "whole": {DEFINE: 1.5, USE: 1.5, USE_BOTH: 1.5},
        "without the last": {DEFINE: 1.5, USE: 1.5, USE_BOTH: 0.5},
        "without the second": {DEFINE: 1.5, USE: 0.5, USE_BOTH: 1.5},
        "without the first": {DEFINE: 0.5, USE: 1.5, USE_BOTH: 1.5},
        "in another order": {USE: 1.5, DEFINE: 1.5},
    }
    run = write_run(str(tmp_path), texts)
    assert chosen(run) == {
        "whole": [DEFINE, USE, USE_BOTH],
        "without the last": [DEFINE, USE],
        "without the second": [DEFINE],
        "in another order": [DEFINE],
    }


def test_a_threshold_that_takes_a_definition_out_takes_what_needs_it_along(tmp_path) -> None:
    run = write_run(str(tmp_path), {"a": {DEFINE: 1.5, USE: 2.5}, "b": {DEFINE: 2.5, USE: 2.5}})
    assert chosen(run, min_loss_reduction={"python": 2.0}) == {"b": [DEFINE, USE]}


def test_a_call_that_needs_another_is_in_no_pair_since_the_other_is_not_shown(tmp_path) -> None:
    run = write_run(str(tmp_path), {"a": {DEFINE: 1.5, USE: 1.5}})
    [define, use] = RunFolder(run).read_shard("scored", "part-00000", Scored)
    worse = [
        replace(row, call_input=f"{row.call_input} + 1", is_kept=False, loss_reduction=0.1) for row in (define, use)
    ]
    write(RunFolder(run), "scored", Scored, [define, use, *worse])
    assert [pair.kept.call_input for pair in choose_pairs(ChooseOptions(run=(run,), num_held_out=0))] == [DEFINE]
