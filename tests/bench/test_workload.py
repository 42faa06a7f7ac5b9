"""What the bench writes again, because it may not import it, is what the stages use."""

import random

import numpy as np
import pytest

from tests.support.models import build_tokenizer
from toolformer_ray.annotate.places import choose_places as choose_places_of_the_stage
from toolformer_ray.annotate.prompt import render_demonstrations as render_demonstrations_of
from toolformer_ray.annotate.prompt import render_text_slot as render_text_slot_of_the_stage
from toolformer_ray.bench.calls import CALL_TOKENS, distinct_calls, stand_in_result
from toolformer_ray.bench.prompt import render_demonstrations, render_text_slot
from toolformer_ray.bench.workload import Workload, choose_places, make_texts
from toolformer_ray.lm.requests import Sample
from toolformer_ray.lm.tokenizer import TextTokenizer
from toolformer_ray.records.calls import render_call
from toolformer_ray.tools.calculator import Calculator
from toolformer_ray.tools.options import Teaching


@pytest.fixture
def tokenizer() -> TextTokenizer:
    return TextTokenizer(build_tokenizer())


def test_the_prompt_is_the_calculators() -> None:
    assert render_demonstrations() == render_demonstrations_of(Calculator)
    assert render_text_slot("Two.") == render_text_slot_of_the_stage("Two.")


def test_the_places_are_those_that_propose_would_choose() -> None:
    rng = random.Random(0)
    teaching = Teaching(min_open_probability=0.0, max_places=3)
    for _ in range(50):
        # Few values, so that some are equal.
        log_starts = np.array([-float(rng.randint(1, 6)) for _ in range(12)])
        is_place = [rng.random() < 0.7 for _ in range(12)]
        assert choose_places(log_starts, is_place, 3) == choose_places_of_the_stage(log_starts, is_place, teaching)


def test_texts_have_exactly_the_length_asked_for_and_follow_from_the_seed(tokenizer: TextTokenizer) -> None:
    texts = make_texts(tokenizer, 3, 80)
    assert [len(text.text_ids) for text in texts] == [80, 80, 80]
    assert texts == make_texts(tokenizer, 3, 80)
    assert texts != make_texts(tokenizer, 3, 80, seed=1)
    slot = tokenizer.decode(list(texts[0].own_ids))
    assert slot == tokenizer.decode(list(texts[0].text_ids)) + "\nOutput: "


def test_a_text_of_no_tokens_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="1 texts of 0 tokens"):
        make_texts(TextTokenizer(build_tokenizer()), 1, 0)


@pytest.mark.parametrize(
    ("call_input", "result"),
    [
        ("18 * 24", "432"),
        ("400/1400", "0.29"),
        ("65 - 250", "-185"),
        ("5 / 0", "7"),
        ("a few", "7"),
        ("1 + 2 + 3", "7"),
    ],
)
def test_a_call_gets_its_value_or_a_constant(call_input: str, result: str) -> None:
    assert stand_in_result(call_input) == result


def test_equal_samples_are_one_call_and_malformed_ones_none(tokenizer: TextTokenizer) -> None:
    work = Workload(shared_ids=[0], texts=[])
    written = ["Calculator(2 + 3)", "Calculator(2 + 3)", "QA(2)", None, " Calculator(9)"]
    calls = distinct_calls(tokenizer, work, 4, 7, [Sample(ids=(1,), text=text) for text in written])
    assert [(call.text, call.token_index) for call in calls] == [(4, 7), (4, 7)]
    bos_ids = tokenizer.bos_ids
    assert calls[0].ids_with_result == (*bos_ids, *tokenizer.encode(render_call("Calculator", "2 + 3", "5")))
    assert calls[0].ids_without_result == (*bos_ids, *tokenizer.encode(render_call("Calculator", "2 + 3", "")))


def test_random_weights_make_calls_of_a_fixed_number_of_tokens(tokenizer: TextTokenizer) -> None:
    work = Workload(shared_ids=[0], texts=[], writes_calls=False)
    samples = [Sample(ids=tuple(range(100, 120)), text=None), Sample(ids=(*range(100, 112), 5), text=None)]
    (call,) = distinct_calls(tokenizer, work, 0, 0, samples)
    start = (*tokenizer.bos_ids, *tokenizer.open_ids, *range(100, 100 + CALL_TOKENS))
    assert call.ids_with_result == (*start, *tokenizer.encode(" -> 432]"))
