"""What became of due calls, on a sentence whose words are its tokens."""

from pathlib import Path

import pytest

from tests.support.rows import make_row
from toolformer_ray.real.corpora import CorporaOptions, prepare
from toolformer_ray.real.key import DueCall, compare, read_key
from toolformer_ray.records.stages import Document, Dropped, Scored

TEXT = "3 bags of 4 make 12 pens, and 5 more make 17."


class Words:
    """A tokenizer whose tokens are words with the space before them."""

    class places:  # noqa: N801
        def __init__(self, text: str) -> None:
            starts = [0, *(n for n, letter in enumerate(text) if letter == " ")]
            self.char_offsets = starts


def due(result: str) -> DueCall:
    start = TEXT.index(f" {result}") + 1
    return DueCall(doc_id="d", start=start, end=start + len(result), result=result)


def call(before: str, result: str, *, is_kept: bool) -> Scored:
    return make_row(
        Scored, text_id="d-0", tool="Calculator", char_offset=TEXT.index(before), result=result, is_kept=is_kept
    )


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], (2, 0, 0, 0, 0, 0)),
        ([call(" 12", "12", is_kept=True)], (2, 1, 1, 1, 1, 1)),
        # A word early is near; another value is not right; what is not kept was sampled.
        ([call(" make 12", "12", is_kept=False), call(" 17", "71", is_kept=True)], (2, 2, 1, 0, 1, 0)),
        # Nine words before its result a call lowers the loss of none of its tokens.
        ([call(" of", "17", is_kept=True)], (2, 1, 0, 0, 1, 0)),
    ],
)
def test_a_due_call_is_placed_sampled_and_kept_near_its_result(calls: list[Scored], expected: tuple) -> None:
    document = make_row(Document, text_id="d-0", doc_id="d", part=0, text=TEXT)
    found = compare({"d": [due("12"), due("17")]}, [document], [], calls, Words(), "Calculator")
    told = (found.due, found.placed, found.sampled, found.kept_due, found.kept, found.kept_right)
    assert told == expected


def test_a_place_where_nothing_was_kept_of_the_samples_was_a_place_too() -> None:
    document = make_row(Document, text_id="d-0", doc_id="d", part=0, text=TEXT)
    drop = make_row(Dropped, text_id="d-0", tool="Calculator", char_offset=TEXT.index(" 17"))
    assert compare({"d": [due("12"), due("17")]}, [document], [drop], [], Words(), "Calculator").placed == 1


def test_without_data_the_shipped_texts_are_taken_and_their_key_fits_them(tmp_path: Path) -> None:
    prepare(CorporaOptions(data=tmp_path / "absent", out=tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["calculator.jsonl", "key.jsonl"]
    import json

    texts = {line["id"]: line["text"] for line in map(json.loads, (tmp_path / "out/calculator.jsonl").open())}
    key = read_key(tmp_path / "out/key.jsonl")
    assert len(texts) == 40
    for name, calls in key.items():
        assert [texts[name][due.start : due.end] for due in calls] == [due.result for due in calls]
