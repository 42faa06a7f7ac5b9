"""Where proposing differs from the paper by default: wanted places, whole openings, what is shown, a greedy call."""

import pytest

from tests.support.scripted_model import BOS, ScriptedModel, suffixes
from tests.support.small_world import Adder, SmallTool, make_document
from toolformer_ray.annotate.places import wanted_tokens
from toolformer_ray.annotate.prompt import render_demonstrations, render_opening
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.lm.tokenizer import Places
from toolformer_ray.records.stages import Candidate, Document, Dropped
from toolformer_ray.tools.catalog import find_tools
from toolformer_ray.tools.tool import CallContext
from toolformer_ray.tools.wanted_places import before_numbers

SUM = "2 and 3 is 5"


class NumberAdder(Adder):
    """Wants to be asked before numbers."""

    def wanted_places(self, text: str):
        return before_numbers(text)


class Clock(SmallTool):
    """Takes no input."""

    name = "Clock"
    instruction = "Ask the time."
    demonstrations = ("It is [Clock()] noon.",)

    def wants(self, document: Document) -> bool:
        return True

    def run(self, call_input: str, context: CallContext) -> str:
        return "noon"


def proposals(model: ScriptedModel, tool: SmallTool, **options) -> tuple[list[Candidate], list[Dropped]]:
    return propose([make_document(SUM)], model, {"tool": tool}, ProposeOptions(**options))


def test_the_model_reads_demonstrations_of_outputs_and_the_text_once() -> None:
    model = ScriptedModel(lambda _: {"2)]": 1.0})
    proposals(model, NumberAdder(min_open_probability=0.0))
    assert model.sequences[0] == f"{BOS}{render_demonstrations(Adder, 'output')}{SUM}"
    assert render_demonstrations(Adder, "output") == "Add calls.\n\nOne and two are [Add(1+2)] 3.\n\n"


def test_a_call_is_proposed_only_where_the_tool_says_that_it_could_help() -> None:
    # The marker is likely everywhere, and likeliest before the words.
    model = ScriptedModel(lambda context: {" [": 0.9 if context[-1].isdigit() else 0.5, "2)]": 1.0})
    candidates, _ = proposals(model, NumberAdder(min_open_probability=0.0, max_places=9, min_loss_reduction=-1.0))
    assert [SUM[row.char_offset :].strip()[0] for row in candidates] == ["2", "3", "5"]


def test_a_text_without_a_wanted_place_is_named_and_not_read() -> None:
    model = ScriptedModel(lambda _: {})
    candidates, drops = propose([make_document("= x1")], model, {"tool": NumberAdder()}, ProposeOptions())
    assert candidates == [] and [drop.reason for drop in drops] == ["no_position"]
    assert model.asked["starts"] == 0 and model.sequences == []


@pytest.mark.parametrize("rank_by, expected", [("opening", " 5"), ("marker", " 3")])
def test_places_are_ranked_by_the_whole_opening(rank_by: str, expected: str) -> None:
    """Before ` 3` the text goes on with a bracket of its own; before ` 5` the bracket, if it comes, is a call."""
    table = {
        "2 and": {" [": 0.9},
        "2 and [": {"Add": 0.01},
        "3 is": {" [": 0.2},
        "3 is [": {"Add": 0.9},
        "Add": {"(": 0.9},
        "(": {"1)]": 1.0},
        "Add(": {"1)]": 1.0},
    }
    model = ScriptedModel(suffixes(table))
    if rank_by == "marker":
        table |= {"2 and [": {"Add(1)]": 1.0}}
    [candidate], _ = proposals(model, NumberAdder(max_places=1, min_open_probability=0.0), rank_by=rank_by)
    assert SUM[candidate.char_offset :].startswith(expected)
    # 0.2 * 0.9 * 0.9
    assert candidate.open_probability == pytest.approx(0.162 if rank_by == "opening" else 0.9)
    assert candidate.call_input == "1" and candidate.num_samples == 4


def test_the_first_call_is_the_likeliest_and_the_others_are_drawn() -> None:
    model = ScriptedModel(suffixes({"(": {"1)]": 0.4, "2)]": 0.6}}))
    candidates, _ = proposals(model, NumberAdder(num_samples=30, max_places=1, min_open_probability=0.0))
    assert candidates[0].call_input == "2" and {row.call_input for row in candidates} == {"1", "2"}
    _, drops = proposals(model, NumberAdder(num_samples=1, max_places=1, min_open_probability=0.0))
    assert model.written[-1] == "2)]" and drops == []


def test_a_call_without_an_input_is_whole_with_its_opening_and_is_not_sampled() -> None:
    model = ScriptedModel(lambda context: {" [": 0.5, "Clock": 0.5, "(": 1.0, ")": 1.0, "]": 1.0})
    [candidate], drops = proposals(model, Clock(max_places=1), places="all")
    assert (candidate.call_input, candidate.num_samples) == ("", 1)
    assert candidate.open_probability == pytest.approx(0.25)
    assert model.written == [] and drops == []


def test_what_a_call_opens_with_follows_from_the_demonstrations() -> None:
    openings = {key: render_opening(tool, ProposeOptions()).text for key, tool in find_tools().items()}
    assert openings == {
        "calculator": "Calculator(",
        "calendar": "Calendar()]",
        "python": "Python(",
        "qa": 'QA("',
        "search": 'WikiSearch("',
        "translation": 'MT("',
    }
    assert render_opening(Clock, ProposeOptions(second_round=True)).text == "Clock() ->"


def places_of(*tokens: str) -> tuple[Places, str]:
    text = "".join(tokens)
    offsets = [sum(map(len, tokens[:n])) for n in range(len(tokens))]
    is_place = [n == 0 or tokens[n - 1] != " " for n in range(len(tokens))]
    return Places(list(range(len(tokens))), offsets, is_place), text


@pytest.mark.parametrize(
    "tokens, expected",
    [
        (["is", " $", "2", "4"], " $"),
        (["is", "=$", "2", "4"], "2"),
        (["is", " ", "2", "4"], " "),
        (["is", "\n", "2", "4"], "2"),
        (["is", " 24"], " 24"),
        (["is", " (", "$", "2", "4"], " ("),
        (["x2", "4"], None),
    ],
)
def test_a_place_is_before_the_space_and_the_signs_that_open_a_number(tokens: list[str], expected: str | None) -> None:
    places, text = places_of(*tokens)
    wanted = wanted_tokens(places.char_offsets, places.is_place, text, before_numbers(text))
    assert [token for token, is_one in zip(tokens, wanted, strict=True) if is_one] == ([expected] if expected else [])
