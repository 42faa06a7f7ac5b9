import gc
import math
import weakref

import numpy as np
import pytest

from tests.support.in_paper import proposing_as_in_paper
from tests.support.models import build_language_model
from tests.support.scripted_model import BOS, NextToken, ScriptedModel, suffixes
from tests.support.small_world import Adder, Translator, make_document
from toolformer_ray.annotate.portion import sample_keys
from toolformer_ray.annotate.prompt import render_demonstrations, render_text_slot
from toolformer_ray.annotate.propose import propose
from toolformer_ray.annotate.propose_options import ProposeOptions
from toolformer_ray.lm.requests import Prompt
from toolformer_ray.lm.writing.generator import Generator
from toolformer_ray.lm.writing.sequences import TOKENS_PER_SLOT
from toolformer_ray.records.stages import DROP_REASONS, Candidate, Document, Dropped

SUM = "2 and 3 is 5"


def proposals(
    model: ScriptedModel, *documents: Document, options: ProposeOptions | None = None, **thresholds: float
) -> tuple[list[Candidate], list[Dropped]]:
    tools = {"adder": Adder(**thresholds), "translator": Translator(**thresholds)}
    return propose(documents, model, tools, options or proposing_as_in_paper())


def of_the_adder(drops: list[Dropped]) -> list[tuple[str, int | None, int]]:
    return [(drop.reason, drop.char_offset, drop.count) for drop in drops if drop.tool == "Add"]


def writing(call: str = "2+3", *, after: str = f"Output: {SUM[:-2]}", probability: float = 0.5) -> NextToken:
    """Opens a call after a text that ends so, and then writes it."""
    return suffixes({after: {" [": probability}, f"{after} [": {f"Add({call})": 1.0}, f"Add({call})": {"]": 1.0}})


def test_a_call_is_proposed_before_the_token_where_it_opens() -> None:
    (candidate,), _ = proposals(ScriptedModel(writing()), make_document(SUM))
    assert candidate.token_index == 4 and candidate.char_offset == len("2 and 3 is")
    assert SUM[candidate.char_offset :] == " 5"
    assert (candidate.tool, candidate.call_input, candidate.num_samples) == ("Add", "2+3", 4)
    assert candidate.open_probability == pytest.approx(0.5)
    # One token is left, with probability 1/1000 and weight 1/3.
    assert candidate.loss_without == pytest.approx(math.log(1_000) / 3)


@pytest.mark.paper("C4")
def test_a_model_that_counts_shows_that_probabilities_belong_to_the_next_token() -> None:
    call = writing("1+1", after="Output: 10 11 12")
    counting = suffixes({"10": {" 11": 0.9}, "11": {" 12": 0.9}, "12": {" 13": 0.9}, "14": {" 15": 0.9}})
    model = ScriptedModel(lambda context: {**counting(context), **call(context)})
    (candidate,), _ = proposals(model, make_document("10 11 12 14 15"))
    # The call goes before " 14"; that one surprises (1/1000), " 15" after it does not (0.9).
    assert candidate.token_index == 3
    assert candidate.loss_without == pytest.approx(math.log(1_000) * 5 / 15 - math.log(0.9) * 4 / 15)


@pytest.mark.paper("C4")
def test_the_model_reads_the_demonstrations_and_then_the_text_twice() -> None:
    model = ScriptedModel(writing())
    proposals(model, make_document(SUM))
    assert model.sequences == [
        BOS + render_demonstrations(Adder) + f"{SUM}\nOutput: {SUM}",
        f"{BOS}{SUM}",
    ]


@pytest.mark.paper("F8")
def test_in_a_second_round_the_text_stands_alone_and_a_call_ends_at_its_arrow() -> None:
    """The model has read texts with calls: it needs no demonstration, and goes on behind the arrow with a guess."""
    place = f"{BOS}{SUM[:-2]}"
    guessing = suffixes(
        {place: {" [": 0.5}, f"{place} [": {"Add(2+3)": 1.0}, "Add(2+3)": {" -> 9": 1.0}, "9": {"]": 1.0}}
    )
    model = ScriptedModel(guessing)
    (candidate,), _ = proposals(model, make_document(SUM), options=proposing_as_in_paper(second_round=True))
    assert model.sequences[0] == f"{BOS}{SUM}"
    assert (candidate.tool, candidate.call_input, candidate.num_samples) == ("Add", "2+3", 4)
    assert model.written == ["Add(2+3) -> 9"] * 4, "the guess of one token came with the arrow; nothing after it"


def test_in_a_first_round_a_sample_goes_on_behind_an_arrow() -> None:
    model = ScriptedModel(writing("2+3) -> (9"))
    candidates, drops = proposals(model, make_document(SUM))
    assert set(model.written) == {"Add(2+3) -> (9)]"}
    assert candidates == [] and of_the_adder(drops) == [("sample_malformed", 10, 4)]


def test_in_a_second_round_an_arrow_with_the_last_token_allowed_ends_the_sample() -> None:
    place = f"{BOS}{SUM[:-2]}"
    guessing = suffixes(
        {place: {" [": 0.5}, f"{place} [": {"Add(2+3)": 1.0}, "Add(2+3)": {" -": 1.0}, " -": {">": 1.0}, ">": {" 9": 1}}
    )
    # Add ( 2 + 3 ) - > are eight.
    for max_call_tokens, num_calls in [(8, 1), (7, 0)]:
        options = proposing_as_in_paper(second_round=True, max_call_tokens=max_call_tokens)
        candidates, _ = proposals(ScriptedModel(guessing), make_document(SUM), options=options)
        assert len(candidates) == num_calls


EITHER = suffixes(
    {
        "Output: 2 and 3 is": {" [": 0.5},
        "Output: 2 and 3 is [": {"Add(1)": 0.5, "Add(2)": 0.5},
        "Add(1)": {"]": 1.0},
        "Add(2)": {"]": 1.0},
    }
)


@pytest.mark.paper("C7")
def test_equal_calls_at_a_place_are_one_candidate_with_their_count() -> None:
    candidates, _ = proposals(ScriptedModel(EITHER), make_document(SUM), num_samples=40)
    counts = {candidate.call_input: candidate.num_samples for candidate in candidates}
    assert set(counts) == {"1", "2"} and sum(counts.values()) == 40
    # Each is drawn with probability 1/2: fewer than 8 of 40 would be a chance of 1 in 30,000.
    assert min(counts.values()) >= 8


@pytest.mark.paper("C8")
def test_samples_that_are_no_call_of_the_tool_are_counted_by_reason() -> None:
    babbling = suffixes(
        {
            "Output: 2 and 3 is": {" [": 0.5},
            "Output: 2 and 3 is [": {"endless": 0.25, "nonsense": 0.25, "MT(1)": 0.25, "Add(1)": 0.25},
            "endless": {" endless": 1.0},
            "nonsense": {"]": 1.0},
            "(1)": {"]": 1.0},
        }
    )
    (candidate,), drops = proposals(ScriptedModel(babbling), make_document(SUM), num_samples=64)
    counts = {reason: count for reason, offset, count in of_the_adder(drops) if offset == len("2 and 3 is")}
    assert set(counts) == {"sample_unfinished", "sample_malformed"}
    assert sum(counts.values()) + candidate.num_samples == 64
    # Nonsense and another tool's calls together are half of the samples, the others a quarter each.
    assert counts["sample_malformed"] > max(counts["sample_unfinished"], candidate.num_samples)


def test_a_call_that_takes_exactly_the_most_tokens_allowed_is_finished() -> None:
    # Add ( 2 + 3 ) ] are seven.
    model = ScriptedModel(writing())
    (candidate,), _ = proposals(model, make_document(SUM), options=proposing_as_in_paper(max_call_tokens=7))
    assert candidate.call_input == "2+3"
    candidates, drops = proposals(model, make_document(SUM), options=proposing_as_in_paper(max_call_tokens=6))
    assert candidates == [] and of_the_adder(drops) == [("sample_unfinished", 10, 4)]


def test_a_tool_sees_the_texts_it_wants_and_the_others_are_named() -> None:
    sums, sea, words = make_document(SUM), make_document("La mer 1"), make_document("no number")
    candidates, drops = proposals(ScriptedModel(writing()), sums, sea, words)
    assert [candidate.text_id for candidate in candidates] == [sums.text_id]
    assert [(drop.text_id, drop.tool, drop.reason) for drop in drops] == [
        (sums.text_id, "MT", "not_offered"),
        (sea.text_id, "Add", "no_position"),
        (sea.text_id, "MT", "no_position"),
        (words.text_id, "Add", "not_offered"),
        (words.text_id, "MT", "not_offered"),
    ]
    assert {drop.reason for drop in drops} <= set(DROP_REASONS["propose"])


def test_a_text_that_does_not_fit_the_window_with_its_prompt_is_named() -> None:
    model = ScriptedModel(writing())
    pieces = (render_demonstrations(Adder), render_text_slot(SUM), SUM)
    # The beginning-of-sequence token, the prompt, " [", and 64 tokens for the call.
    model.window = 1 + sum(len(model.tokenizer.encode(piece)) for piece in pieces) + 1 + 64
    assert len(proposals(model, make_document(SUM))[0]) == 1
    model.window -= 1
    candidates, drops = proposals(model, make_document(SUM))
    assert candidates == [] and of_the_adder(drops) == [("too_long", None, 1)]


A_THEN_B_THEN_C = "a 1 2 3 4 5 b x y z c x y z"
OPENS_THRICE = suffixes(
    {
        "Output: a": {" [": 0.9},
        "5 b": {" [": 0.8},
        "z c": {" [": 0.7},
        f"{BOS}a": {" 1": 1.0},
        "1": {" 2": 1.0},
        "2": {" 3": 1.0},
        "3": {" 4": 1.0},
        "4": {" 5": 1.0},
        " [": {"Add(1)": 1.0},
        "Add(1)": {"]": 1.0},
    }
)
"""Opens a call after `a`, `b` and `c`, ever less gladly; is sure of the five tokens after `a`, whose loss is so 0."""


def test_the_k_places_are_chosen_first_and_dropped_for_their_loss_after() -> None:
    candidates, drops = proposals(ScriptedModel(OPENS_THRICE), make_document(A_THEN_B_THEN_C), max_places=2)
    # The place after `a` goes; the one after `c`, third in rank, does not move up.
    assert [A_THEN_B_THEN_C[candidate.char_offset - 1] for candidate in candidates] == ["b"]
    assert of_the_adder(drops) == [("loss_already_low", 1, 1)]


def test_a_lower_bound_for_later_sweeps_keeps_places_of_lower_loss() -> None:
    model = ScriptedModel(OPENS_THRICE)
    for prune_below, places in [(None, "b"), (0.2, "b"), (0.0, "ab"), (9.0, "b")]:
        options = proposing_as_in_paper(prune_below=prune_below)
        candidates, _ = proposals(model, make_document(A_THEN_B_THEN_C), options=options)
        assert "".join(A_THEN_B_THEN_C[candidate.char_offset - 1] for candidate in candidates) == places


def test_one_pass_over_a_text_gives_the_losses_of_all_places_and_tools() -> None:
    model = ScriptedModel(lambda context: {" [": 0.5, "]": 1.0})
    proposals(model, make_document("La mer 2 and 3"), make_document("La mer 5"))
    assert model.asked == {"starts": 4, "scores": 2, "samples": 2 * 2 * 2 * 4, "alone": 4}
    assert model.sequences[-2:] == [f"{BOS}La mer 2 and 3", f"{BOS}La mer 5"]


@pytest.mark.paper("I2")
def test_what_is_proposed_for_a_text_does_not_depend_on_the_other_texts() -> None:
    digits = {str(digit): 0.1 for digit in range(10)}
    endings = {str(digit): {")]": 1.0} for digit in range(10)}
    model = ScriptedModel(suffixes({" is": {" [": 0.5}, " [": {"Add(": 1.0}, "Add(": digits, **endings}))
    documents = [make_document(f"{n} and 3 is {n + 3}") for n in range(5)]
    together, _ = proposals(model, *documents, num_samples=8)
    alone = [row for document in documents for row in proposals(model, document, num_samples=8)[0]]
    assert together == alone
    inputs = [{row.call_input for row in together if row.text_id == document.text_id} for document in documents]
    assert len({tuple(sorted(drawn)) for drawn in inputs}) > 1, "every text draws its own samples"
    backwards, _ = proposals(model, *reversed(documents), num_samples=8)
    assert sorted(map(repr, backwards)) == sorted(map(repr, alone))
    other_seed, _ = proposals(model, *documents, num_samples=8, options=proposing_as_in_paper(seed=1))
    assert other_seed != together


class NoisyModel(ScriptedModel):
    """Answers to a batch are off in the last digits; answers to a single request are not."""

    def __init__(self, next_token: NextToken, noise: float) -> None:
        super().__init__(next_token)
        self.noise = noise

    def _start_log_probs(self, prompt: Prompt) -> np.ndarray:
        exact = super()._start_log_probs(prompt)
        return exact + np.float32(self.noise) * (-1) ** np.arange(len(exact), dtype=np.float32)

    def start_log_probs_alone(self, prompt: Prompt) -> np.ndarray:
        return super()._start_log_probs(prompt)


@pytest.mark.parametrize("noise", [-3e-5, 0.0, 3e-5])
def test_a_near_tie_between_places_is_settled_on_the_text_alone(noise: float) -> None:
    almost_equal = {f"Output: x {head}": {" [": p} for head, p in [("1", 0.4), ("1 2", 0.400004), ("1 2 3", 0.3)]}
    almost_equally = suffixes({**almost_equal, " [": {"Add(1)]": 1.0}})
    model = NoisyModel(almost_equally, noise)
    candidates, _ = proposals(model, make_document("x 1 2 3 y"), max_places=1)
    assert [candidate.char_offset for candidate in candidates] == [5]


def test_every_sample_has_a_key_of_its_own() -> None:
    names = [(seed, text, tool, index) for seed in (0, 1) for text in "ab" for tool in ("A", "B") for index in (1, 11)]
    keys = [key for name in names for key in sample_keys(*name, 3)]
    assert len(set(keys)) == len(keys) and all(0 <= key < 2**128 for key in keys)
    assert sample_keys(0, "a", "A", 1, 2) == sample_keys(0, "a", "A", 1, 3)[:2]


@pytest.mark.parametrize(
    "option, value",
    [("max_call_tokens", 0), ("temperature", 0.0), ("temperature", math.nan), ("prune_below", math.inf)],
)
def test_an_option_out_of_range_names_itself_and_its_value(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value}; it must be"):
        ProposeOptions(**{option: value})


def proposals_of_a_random_model(
    monkeypatch, *, texts_at_once: int, watch=None
) -> tuple[list[Candidate], list[Dropped]]:
    """Twelve texts, a few slots: portions are smaller than what is written at once."""
    monkeypatch.setattr("toolformer_ray.annotate.propose.TEXTS_AT_ONCE", texts_at_once)
    model = build_language_model(token_budget=8 * TOKENS_PER_SLOT)
    if watch is not None:
        watch(model)
    documents = [make_document(f"{n} and {n + 1} is {2 * n + 1}, so they say") for n in range(12)]
    options = proposing_as_in_paper(max_call_tokens=10)
    tools = {"adder": Adder(min_open_probability=0.0, num_samples=3, min_loss_reduction=0.0)}
    return propose(documents, model, tools, options)


def test_rows_do_not_depend_on_how_many_texts_are_in_memory(monkeypatch) -> None:
    few, many = (proposals_of_a_random_model(monkeypatch, texts_at_once=number) for number in (2, 64))
    assert few == many
    assert {drop.reason for drop in few[1]} >= {"sample_unfinished"}


def test_no_sample_waits_for_the_other_texts_in_memory(monkeypatch) -> None:
    sizes, step = [], Generator.step

    def watched_step(generator):
        sizes.append(generator.num_in_hand)
        return step(generator)

    monkeypatch.setattr(Generator, "step", watched_step)
    proposals_of_a_random_model(monkeypatch, texts_at_once=1)
    # One text has six samples for eight slots, which stay full over all texts until the last ones are being written.
    assert set(sizes[: len(sizes) - 10]) == {8}


def test_hidden_states_of_texts_that_are_read_leave_the_memory(monkeypatch) -> None:
    readings = []

    def watch(model):
        read_texts = model.read_texts

        def watched(*args):
            gc.collect()
            assert not [reading for reading in readings if reading() is not None]
            reading = read_texts(*args)
            readings.append(weakref.ref(reading))
            return reading

        model.read_texts = watched

    proposals_of_a_random_model(monkeypatch, texts_at_once=2, watch=watch)
    assert len(readings) == 6
