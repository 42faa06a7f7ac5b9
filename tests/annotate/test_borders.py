import math
from dataclasses import replace

import pytest

from tests.support.models import build_language_model
from tests.support.other_tokenizer import build_other_model
from tests.support.rows import make_row
from tests.support.scripted_model import BOS, ScriptedModel, suffixes
from tests.support.small_world import Adder, make_document
from toolformer_ray.annotate.borders import Borders, move_to_borders
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.lm.model import LanguageModel
from toolformer_ray.lm.tokenizer import Places
from toolformer_ray.records.stages import Candidate, Dropped


class Cut:
    """A tokenizer whose tokens are given: `a|b c|d`."""

    def __init__(self, cut: str) -> None:
        self.tokens = cut.split("|")

    def places(self, text: str) -> Places:
        assert "".join(self.tokens) == text
        offsets = [len("".join(self.tokens[:n])) for n in range(len(self.tokens))]
        return Places(list(range(len(offsets))), offsets, [True] * len(offsets))


@pytest.mark.parametrize(
    ("cut", "place", "expected"),
    [
        ("It is| 29", " 29", " 29"),
        # The space is a token of its own, or belongs to the word before: the number is what the call is for.
        ("It is |29", " 29", "29"),
        ("It is ($|29", " ($29", "29"),
        # The place lies inside a token: the call goes before all of it.
        ("It| is 2|9", " 29", " is 29"),
        ("It is 29", " 29", "It is 29"),
    ],
)
def test_a_place_goes_to_the_next_border_unless_a_word_would_be_in_between(cut: str, place: str, expected: str) -> None:
    text = cut.replace("|", "")
    border = Borders(text, Cut(cut)).nearest(text.index(place))  # type: ignore[arg-type]
    assert border is not None and text[border:] == expected


TEXT = "2 and 3 is 5"


def call_at(offset: int, **columns: object) -> Candidate:
    document = make_document(TEXT)
    return make_row(Candidate, text_id=document.text_id, tool="Add", char_offset=offset, token_index=7, **columns)


def moved(cut: str, *calls: Candidate, drops: tuple[Dropped, ...] = ()) -> tuple[list[Candidate], list[Dropped]]:
    return move_to_borders(calls, drops, [make_document(TEXT)], Cut(cut))  # type: ignore[arg-type]


def test_a_moved_call_says_from_where_and_has_no_loss_of_the_proposer() -> None:
    ((here, there), _) = moved("2 and 3| is |5", call_at(7, call_input="1"), call_at(10, call_input="2"))
    assert (here.token_index, here.char_offset, here.proposed_offset) == (1, 7, None)
    assert (there.token_index, there.char_offset, there.proposed_offset) == (2, 11, 10)
    assert math.isnan(here.loss_without) and here.loss_with_call is None


def test_calls_that_become_equal_are_one_and_a_drop_moves_with_them() -> None:
    drop = make_row(Dropped, text_id=make_document(TEXT).text_id, char_offset=7)
    first = call_at(5, call_input="1", num_samples=2, open_probability=0.1)
    second = call_at(7, call_input="1", num_samples=3, open_probability=0.4)
    (rows, drops) = moved("2 and| 3 is 5", first, second, drops=(drop,))
    assert [(row.char_offset, row.num_samples, row.open_probability) for row in rows] == [(5, 5, 0.4)]
    assert [one.char_offset for one in drops] == [5]


TEXTS = [f"{n} apples and {n + 7} pears, so {2 * n + 7} in all, =${n} or ({n})" for n in range(20, 26)]


def propose_with(model: LanguageModel, **options: object) -> tuple[list[Candidate], list[Dropped]]:
    tools = {"adder": Adder(min_open_probability=0.0, max_places=40, num_samples=2, min_loss_reduction=0.0)}
    chosen = ProposeOptions(places="all", max_call_tokens=12, rank_by="opening", temperature=2.0)
    return propose([make_document(text) for text in TEXTS], model, tools, chosen, **options)  # type: ignore[arg-type]


def test_places_of_one_real_tokenizer_stand_at_the_borders_of_another_as_a_plain_search_finds_them() -> None:
    proposer, scorer = build_language_model(), build_other_model(TEXTS)
    drops_before = propose_with(proposer, scorer=proposer.tokenizer)[1]
    drops = propose_with(proposer, scorer=scorer.tokenizer)[1]
    texts = {make_document(text).text_id: text for text in TEXTS}
    places = {drop.char_offset for drop in drops_before}
    assert len(places) > 20 and len({drop.char_offset for drop in drops}) < len(places)
    for before, after in zip(drops_before, drops, strict=True):
        text = texts[before.text_id]
        assert after == replace(before, char_offset=plain_border(text, before.char_offset or 0, scorer))


def plain_border(text: str, offset: int, scorer: LanguageModel) -> int:
    """Character by character: forward over white space and opening signs, else back to where a token begins."""
    found = scorer.tokenizer.places(text)
    starts = {start for start, is_place in zip(found.char_offsets, found.is_place, strict=True) if is_place}
    forward = offset
    while forward < len(text) and forward not in starts:
        forward += 1
    between = text[offset:forward].strip()
    if forward < len(text) and (not between or (set(between) <= set("($") and not text[offset - 1 : offset].isalnum())):
        return forward
    return max(start for start in starts if start <= offset)


def test_another_proposer_drops_nothing_for_its_losses() -> None:
    """The place after `is` surprises nobody: the scoring model has to say whether it matters to it."""
    sure = {f"{BOS}2 and 3 is": {" 5": 1.0}, "Output: 2 and 3 is": {" [": 0.5}, " [": {"Add(2+3)": 1.0}}
    model = ScriptedModel(suffixes({**sure, "Add(2+3)": {"]": 1.0}}))
    tools, options = {"adder": Adder()}, ProposeOptions(places="all", rank_by="marker", shown="whole")
    alone, drops = propose([make_document(TEXT)], model, tools, options)
    assert alone == [] and [drop.reason for drop in drops] == ["loss_already_low"]
    num_scores = model.asked["scores"]
    (row,), drops = propose([make_document(TEXT)], model, tools, options, scorer=model.tokenizer)
    assert (row.call_input, row.char_offset, drops) == ("2+3", len("2 and 3 is"), [])
    assert model.asked["scores"] == num_scores == 1
