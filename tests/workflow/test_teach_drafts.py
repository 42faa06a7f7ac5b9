"""Drafts of demonstrations from kept calls, the sets of them that are tried, and the file that comes of the best."""

from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.records.errors import OptionError
from toolformer_ray.records.stages import Document, Scored
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.calendar import Calendar
from toolformer_ray.tools.demonstrations import read_demonstrations
from toolformer_ray.workflow.teach.drafts import Draft, candidate_sets, find_drafts
from toolformer_ray.workflow.teach.prompts import TaughtPrompt, describe, untaught_prompts, write_prompt
from toolformer_ray.workflow.teach.trial import Trial, best_of

TEXT = "Ann came late. She has 4 boxes.\nEach box holds 12 pens. So she has 48 pens.  All are red. She sold 48."


def document(text: str, name: str = "a") -> Document:
    return make_row(Document, text_id=name, text=text)


def kept(text: str, before: str, call_input: str, result: str, **columns: object) -> Scored:
    told = {"text_id": "a", "tool": "Calculator", "contrast": 2.0, "loss_without": 3.0}
    place = {"char_offset": text.index(before), "call_input": call_input, "result": result}
    return make_row(Scored, **told | place | columns)


def drafted(text: str, *rows: Scored) -> list[str]:
    return [draft.text for draft in find_drafts(rows, [document(text)])]


def test_a_draft_goes_back_to_the_sentence_that_holds_all_of_the_input_and_to_the_end_of_its_own() -> None:
    assert drafted(TEXT, kept(TEXT, " 48 pens", "4 * 12", "48")) == [
        "She has 4 boxes. Each box holds 12 pens. So she has [Calculator(4 * 12)] 48 pens."
    ]


def test_an_input_that_no_sentence_holds_leaves_the_draft_as_short_as_can_be() -> None:
    assert drafted(TEXT, kept(TEXT, " 48 pens", "7 * 12", "48")) == [
        "Each box holds 12 pens. So she has [Calculator(7 * 12)] 48 pens."
    ]


@pytest.mark.parametrize(
    ("text", "before", "call_input", "result", "fault"),
    [
        (TEXT, " 48.", "12 * 4", "48", "the text has had the answer"),
        (TEXT, " 48 pens", "4 * 12", "12", "the text has had the answer"),
        ("It is 5 now.", " 5", "2 + 3", "5", "too few words before"),
        (f"{'many words ' * 50}are 5 now.", " 5", "2 + 3", "5", "too long"),
        ("Here [Calculator(1 + 1)] are two and 5 more.", " 5", "2 + 3", "5", "a call of the text's own"),
    ],
)
def test_what_would_teach_the_wrong_thing_is_no_draft(
    text: str, before: str, call_input: str, result: str, fault: str
) -> None:
    assert drafted(text, kept(text, before, call_input, result)) == [], fault


def test_calls_that_are_not_kept_give_no_drafts_and_confirmed_ones_come_first() -> None:
    text = "Of 9 pens 4 were red and the rest, say 5 or six, were blue. Then 8 more came, that is 13 now."
    rows = [
        kept(text, " 5 or", "9 - 3", "6", contrast=2.5),
        kept(text, " 13", "5 + 8", "13", contrast=1.0),
        kept(text, " 13", "5 + 9", "14", is_kept=False),
    ]
    drafts = find_drafts(rows, [document(text)])
    assert [(draft.is_confirmed, draft.nats) for draft in drafts] == [(True, 1.0), (False, 2.5)]


def draft(number: int, shape: str = "", text_id: str = "") -> Draft:
    told = {"shape": shape or f"{number}", "text_id": text_id or f"t-{number}"}
    return Draft(text=f"Text {number} is [Calculator({number})] it.", is_confirmed=True, nats=1.0, **told)


def test_sets_differ_and_show_different_shapes_of_different_texts_where_there_are_enough() -> None:
    drafts = [draft(0, "0+0"), draft(1, "0+0"), draft(2, text_id="t-0"), *(draft(number) for number in range(3, 9))]
    sets = [[int(one.text.split()[1]) for one in chosen] for chosen in candidate_sets(drafts, 3, 4)]
    assert sets[0] == [0, 3, 4]
    assert len(sets) == 4 and len({frozenset(chosen) for chosen in sets}) == 4
    assert sets == [[int(one.text.split()[1]) for one in chosen] for chosen in candidate_sets(drafts, 3, 4)]
    # Too few to choose among: all of them, once.
    assert [len(chosen) for chosen in candidate_sets(drafts[:2], 3, 4)] == [2]


def test_the_set_with_the_most_right_calls_is_taken() -> None:
    prompt = TaughtPrompt(instruction="", demonstrations=())

    def trial(kept: int, false_share: float | None) -> Trial:
        return Trial(prompt=prompt, calls=50, kept=kept, false_share=false_share)

    few, many, false = trial(10, 0.0), trial(20, 0.1), trial(30, 0.5)
    assert best_of([trial(0, None), few, many, false]) is many
    assert best_of([trial(20, 0.5), few]) is few


def test_the_file_is_what_annotate_reads_and_its_instruction_is_told_from_a_demonstration(tmp_path: Path) -> None:
    class Odd(Calculator):
        name = "Odd"
        description = "Halves, as in [Odd(4)], a\nnumber."

    prompt = TaughtPrompt(instruction=describe(Odd()), demonstrations=["Half of 4 is [Odd(4)] 2.", "Of 6 [Odd(6)] 3."])
    write_prompt(tmp_path / "made" / "odd.txt", prompt)
    read = read_demonstrations(str(tmp_path / "made" / "odd.txt"), "Odd")
    assert read == (describe(Odd()), ("Half of 4 is [Odd(4)] 2.", "Of 6 [Odd(6)] 3."))
    assert "Halves, as in, a number." in describe(Odd())
    assert "expression: Numbers" in describe(Odd())
    with pytest.raises(OptionError, match="cannot be written"):
        write_prompt(tmp_path / "made" / "odd.txt" / "x", prompt)


@pytest.mark.parametrize("shown", ["output", "whole"])
def test_a_tool_without_demonstrations_is_told_of_by_its_schema_and_then_behind_demonstrations_of_others(
    shown: str,
) -> None:
    options = ProposeOptions(shown=shown)  # type: ignore[arg-type]
    alone, behind_others = untaught_prompts(Calculator(), [Calendar], options.shown)
    assert alone.demonstrations == behind_others.demonstrations == ()
    assert alone.instruction.startswith("Add calls to Calculator to the text. Evaluates")
    assert alone.instruction.endswith('Write a call as "[Calculator(18 * 24)]".')
    assert behind_others.instruction.endswith(alone.instruction)
    shown_of_others = [text in behind_others.instruction for text in Calendar.demonstrations[:4]]
    assert shown_of_others == [True, True, False, False]
    assert ("Output: " in behind_others.instruction) == (shown == "whole")
    assert not any(text in behind_others.instruction for text in Calculator.demonstrations)
