"""Which texts and calls the model learns from is decided in SQL, the same way every time."""

import dataclasses
import json
from collections.abc import Sequence

import pytest

from tests.support.many_texts import SETTINGS, write_texts
from tests.support.rows import make_row
from tests.support.small_run import write
from toolformer_ray.finetune.choose import ChooseOptions, choose, choose_pairs
from toolformer_ray.records.run_folder import RunFolder
from toolformer_ray.records.stages import Document, Scored

SUM = ("Calculator", "1 + 1", "2", 1.5)
WORD = ("MT", "deux", "two", 1.25)
WEAK = ("Calculator", "1 - 1", "0", 0.5)


def _calls(options: ChooseOptions) -> dict[str, list[str]]:
    return {example.text_id: [call.call_input for call in example.calls] for example in choose(options).examples}


def test_texts_have_the_calls_that_the_run_kept_and_of_several_at_one_place_the_most_useful(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM, WORD, WEAK], "b": [WORD], "c": [WEAK], "d": []})
    assert _calls(ChooseOptions(run=(run,))) == {"a": ["1 + 1"], "b": ["deux"]}


def test_another_threshold_for_a_tool_is_applied_to_its_losses_and_to_no_other_tool(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM, WORD], "b": [WORD], "c": [WEAK]})
    stricter = ChooseOptions(run=(run,), min_loss_reduction={"calculator": 2.0})
    assert _calls(stricter) == {"a": ["deux"], "b": ["deux"]}
    looser = ChooseOptions(run=(run,), min_loss_reduction={"calculator": 0.5})
    assert _calls(looser) == {"a": ["1 + 1"], "b": ["deux"], "c": ["1 - 1"]}


def test_a_threshold_below_what_the_run_pruned_is_refused_with_what_to_do(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM]})
    with pytest.raises(ValueError, match=r"calculator is 0\.1; .* was pruned below 0\.25: .*`prune_below` 0\.1"):
        choose(ChooseOptions(run=(run,), min_loss_reduction={"calculator": 0.1}))


@pytest.mark.paper("N2")
def test_a_cap_counts_the_texts_of_each_tool_and_leaves_out_its_calls_elsewhere(tmp_path) -> None:
    run = write_texts(str(tmp_path), {name: [SUM] for name in "abcdef"} | {"g": [WORD]})
    chosen = _calls(ChooseOptions(run=(run,), max_texts_per_tool=2))
    assert sorted(inputs for [inputs] in chosen.values()) == ["1 + 1", "1 + 1", "deux"]


def test_of_equal_calls_in_a_text_only_the_most_useful_one_is_learned_from(tmp_path) -> None:
    later, stronger = (*SUM[:3], 1.25, " here"), (*SUM[:3], 2.5, " here")
    run = write_texts(str(tmp_path), {"a": [SUM, later], "b": [SUM, stronger], "c": [WORD, (*WORD[:3], 2.0, " here")]})

    def reductions(**asked: object) -> dict[str, list[float]]:
        examples = choose(ChooseOptions(run=(run,), **asked)).examples
        return {example.text_id: [call.loss_reduction for call in example.calls] for example in examples}

    assert reductions() == {"a": [1.5], "b": [2.5], "c": [2.0]}
    assert reductions(once_per_text=("calculator",)) == {"a": [1.5], "b": [2.5], "c": [1.25, 2.0]}
    assert reductions(as_in_paper=True) == {"a": [1.5, 1.25], "b": [1.5, 2.5], "c": [1.25, 2.0]}


def test_once_per_text_takes_names_of_tools_and_not_the_papers_way_as_well(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM]})
    with pytest.raises(ValueError, match="once_per_text is calculator; with `as_in_paper` equal calls stay everywhere"):
        ChooseOptions(run=(run,), once_per_text=("calculator",), as_in_paper=True)
    with pytest.raises(ValueError, match="once_per_text is sums; there is no such tool, only calculator"):
        ChooseOptions(run=(run,), once_per_text=("sums",))


def test_the_choice_is_the_same_every_time_and_another_seed_makes_another(tmp_path) -> None:
    run = write_texts(str(tmp_path), {f"t{number}": [SUM] for number in range(40)})
    options = ChooseOptions(run=(run,), max_texts_per_tool=10)
    assert _calls(options) == _calls(options)
    assert set(_calls(options)) != set(_calls(dataclasses.replace(options, choice_seed=1)))


@pytest.mark.paper("N3")
def test_held_out_texts_are_at_most_a_tenth_and_never_learned_from(tmp_path) -> None:
    run = write_texts(str(tmp_path), {f"t{number}": [SUM] for number in range(30)})
    choice = choose(ChooseOptions(run=(run,)))
    held_out = {example.text_id for example in choice.held_out}
    assert len(held_out) == 3
    assert len(choice.examples) == 27
    assert not held_out & {example.text_id for example in choice.examples}


def test_texts_without_calls_make_up_the_share_that_was_asked_for(tmp_path) -> None:
    run = write_texts(str(tmp_path), {name: [SUM] for name in "abc"} | {name: [] for name in "defghi"})
    examples = choose(ChooseOptions(run=(run,), plain_share=0.5)).examples
    assert sorted(len(example.calls) for example in examples) == [0, 0, 0, 1, 1, 1]


def test_a_share_of_the_texts_with_calls_is_shown_once_more_as_they_were(tmp_path) -> None:
    run = write_texts(str(tmp_path), {name: [SUM] for name in "abcd"} | {"e": []})
    examples = choose(ChooseOptions(run=(run,), plain_copies=0.5)).examples
    with_calls, copies = examples[:4], examples[4:]
    assert sorted(example.text_id for example in with_calls if example.calls) == list("abcd")
    assert [(copy.text_id, copy.text, copy.calls) for copy in copies] == [
        (example.text_id, example.text, ()) for example in with_calls[:2]
    ]
    with pytest.raises(ValueError, match=r"plain_copies is 1\.5; it must be a share, from 0 to 1"):
        ChooseOptions(run=(run,), plain_copies=1.5)


@pytest.mark.paper("N4")
def test_the_control_has_the_same_texts_without_their_calls(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM], "b": []})
    assert _calls(ChooseOptions(run=(run,), without_calls=True)) == {"a": []}


def test_of_a_text_in_several_runs_the_first_run_counts(tmp_path) -> None:
    first = write_texts(str(tmp_path / "1"), {"a": [SUM]})
    second = write_texts(str(tmp_path / "2"), {"a": [WORD], "b": [WORD]})
    assert _calls(ChooseOptions(run=(first, second))) == {"a": ["1 + 1"], "b": ["deux"]}


def test_a_run_without_a_kept_call_is_refused(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [WEAK]})
    with pytest.raises(ValueError, match="no call was kept in .*, so there is nothing to learn"):
        choose(ChooseOptions(run=(run,)))


def test_a_folder_that_is_no_run_and_a_damaged_shard_are_named_in_one_line(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"run is .*nothing; no run folder is there"):
        choose(ChooseOptions(run=(str(tmp_path / "nothing"),)))
    run = write_texts(str(tmp_path / "run"), {"a": [SUM]})
    (tmp_path / "run/scored/part-00000.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(ValueError, match=r"cannot be read .*`toolformer verify`") as raised:
        choose(ChooseOptions(run=(run,)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("told", [[], {}, {"settings": {}}, {"settings": {"tools": None}}])
def test_a_run_file_of_something_else_is_one_line(told: object, tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM]})
    (tmp_path / "run.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match="no run folder is there"):
        choose(ChooseOptions(run=(run,)))


def test_a_tool_that_the_run_did_not_have_has_no_threshold_to_change(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM]}, SETTINGS | {"tools": ["calculator"]})
    with pytest.raises(
        ValueError, match=r"min_loss_reduction\.translation is 2\.0; .* was not annotated with this tool"
    ):
        choose(ChooseOptions(run=(run,), min_loss_reduction={"translation": 2.0}))


def test_a_pair_is_a_kept_call_and_the_least_useful_other_one_at_its_place(tmp_path) -> None:
    worst = ("MT", "zero", "nil", -0.5)
    run = write_texts(str(tmp_path), {"a": [SUM, WEAK, worst], "b": [SUM], "c": [WEAK]})
    [pair] = choose_pairs(ChooseOptions(run=(run,)))
    assert (pair.text_id, pair.kept.call_input, pair.rejected.call_input) == ("a", "1 + 1", "zero")


def _with_decoys(location: str, contrasts: Sequence[float]) -> str:
    """Texts a, b, ... with one call each, whose decoys are worse by so much; the decoys' own contrasts are 0."""
    run = RunFolder(location)
    settings = {"tools": ["calculator"], "filter": "decoys", "calculator.min-contrast": 0.25}
    run.write_json("run.json", {"settings": settings})
    names = [chr(97 + number) for number in range(len(contrasts))]
    documents = [make_row(Document, text_id=name, doc_id=name, text=f"{name} is here.") for name in names]
    calls = [
        make_row(
            Scored,
            text_id=name,
            tool="Calculator",
            call_input=name,
            char_offset=1,
            loss_without=9.0,
            loss_with_result=None,
            loss_reduction=None,
            loss_in_place=1.0,
            losses_of_decoys=(1.0 + contrast,) * 3 if number else (1.0 + contrast, 2.0 + contrast, 0.0 + contrast),
            contrast=contrast,
            is_kept=contrast >= 0.25,
        )
        for number, (name, contrast) in enumerate(zip(names, contrasts, strict=True))
    ]
    write(run, "documents", Document, documents)
    write(run, "scored", Scored, calls)
    return location


def test_of_a_run_with_decoys_another_contrast_may_be_asked_for_and_no_loss_reduction(tmp_path) -> None:
    run = _with_decoys(str(tmp_path), [0.5, 1.0, -1.0])
    assert sorted(_calls(ChooseOptions(run=(run,)))) == ["a", "b"]
    chosen = choose(ChooseOptions(run=(run,), min_contrast={"calculator": 0.75}))
    assert [(example.text_id, example.calls[0].loss_reduction) for example in chosen.examples] == [("b", 1.0)]
    with pytest.raises(ValueError, match=r"min_loss_reduction\.calculator is 1\.0; .* with the filter decoys"):
        choose(ChooseOptions(run=(run,), min_loss_reduction={"calculator": 1.0}))
    with pytest.raises(ValueError, match="a call has one rule"):
        ChooseOptions(run=(run,), min_loss_reduction={"calculator": 1.0}, min_contrast={"calculator": 1.0})


def test_a_false_share_chooses_the_lowest_threshold_at_which_chance_keeps_so_few(tmp_path) -> None:
    # One decoy of 12 has a contrast of its own of 1.5, and one of -1.5; a quarter of the results is below 0.
    run = _with_decoys(str(tmp_path), [0.5, 1.0, 2.0, -1.0])
    assert sorted(_calls(ChooseOptions(run=(run,), max_false_share=0.5))) == ["a", "b", "c"]
    assert sorted(_calls(ChooseOptions(run=(run,), max_false_share=0.05))) == ["c"]


def test_the_papers_filter_tells_no_false_share(tmp_path) -> None:
    run = write_texts(str(tmp_path), {"a": [SUM]})
    with pytest.raises(ValueError, match=r"max_false_share is 0\.05; .* with the paper's filter"):
        choose(ChooseOptions(run=(run,), max_false_share=0.05))
    with pytest.raises(ValueError, match=r"max_false_share is 1\.5; it must be at least 0 and less than 1"):
        ChooseOptions(run=(run,), max_false_share=1.5)
