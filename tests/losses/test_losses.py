"""L_i(z) by hand, on a model of six tokens whose next token depends on the last one only."""

import math

import pytest

from tests.support.scripted_model import ScriptedModel
from toolformer_ray.losses.question import LossQuestion, loss_alone, weighted_losses
from toolformer_ray.losses.weights import WEIGHTS, weighted_loss, weighted_token_indices

# p(column | row): the text is "a b c d a b c d".
TABLE = {
    "a": {" b": 1 / 2, " c": 1 / 4, " d": 1 / 8, " a": 1 / 16, "]": 1 / 32, " [": 1 / 32},
    "b": {" c": 1 / 4, " b": 1 / 4, " d": 1 / 8, " a": 1 / 8, "]": 1 / 8, " [": 1 / 8},
    "c": {" d": 1 / 8, " b": 1 / 2, " c": 1 / 8, " a": 1 / 8, "]": 1 / 16, " [": 1 / 16},
    "d": {" a": 1 / 16, " b": 1 / 2, " c": 1 / 8, " d": 1 / 4, "]": 1 / 32, " [": 1 / 32},
}
LN2 = math.log(2)


def table_model() -> ScriptedModel:
    return ScriptedModel(lambda context: TABLE.get(context[-1:], {}), otherwise=1 / 64)


def loss(text: str, token_index: int, prefix: str = "") -> float:
    model = table_model()
    prefix_ids = [*model.tokenizer.bos_ids, *model.tokenizer.encode(prefix)]
    text_ids = model.tokenizer.encode(text)
    question = LossQuestion(text_id="", text_ids=text_ids, prefix_ids=prefix_ids, token_index=token_index)
    assert weighted_losses(model, [question]) == [loss_alone(model, question)]
    return loss_alone(model, question)


@pytest.mark.paper("F1")
def test_the_weights_sum_to_one_and_fall_by_a_fifth_of_the_first() -> None:
    assert sum(WEIGHTS) == pytest.approx(1)
    assert [weight * 15 for weight in WEIGHTS] == pytest.approx([5, 4, 3, 2, 1])


@pytest.mark.paper("F2")
def test_a_loss_worked_by_hand() -> None:
    # i = 1: the tokens b c d a b given a b c d a: 1/2, 1/4, 1/8, 1/16, 1/2, that is 1, 2, 3, 4, 1 times ln 2.
    # (5 * 1 + 4 * 2 + 3 * 3 + 2 * 4 + 1 * 1) / 15 = 31 / 15.
    assert loss("a b c d a b c d", 1) == pytest.approx(31 / 15 * LN2)
    # One place later, the tokens c d a b c: (5 * 2 + 4 * 3 + 3 * 4 + 2 * 1 + 1 * 2) / 15 = 38 / 15.
    assert loss("a b c d a b c d", 2) == pytest.approx(38 / 15 * LN2)


@pytest.mark.paper("F6")
def test_with_fewer_than_five_tokens_left_the_missing_terms_are_absent_and_the_weights_stay() -> None:
    # i = 6: c and d are left: (5 * 2 + 4 * 3) / 15 = 22 / 15, not divided by the weights of two tokens.
    assert loss("a b c d a b c d", 6) == pytest.approx(22 / 15 * LN2)
    # i = 7: (5 * 3) / 15 = 1.
    assert loss("a b c d a b c d", 7) == pytest.approx(LN2)
    assert list(weighted_token_indices(6, 8)) == [6, 7]


def test_the_first_token_is_foretold_by_the_prefix() -> None:
    # After "<s>" everything has 1/64 = 2 ** -6; after "d", "a" alone (without its space) too.
    assert loss("a", 0) == pytest.approx(5 / 15 * 6 * LN2)
    assert loss(" a", 0, prefix="d") == pytest.approx(5 / 15 * 4 * LN2)


@pytest.mark.paper("F2")
def test_a_prefix_does_not_shift_the_tokens_that_count() -> None:
    # The table looks at the last token only, so nothing but the very first token can notice the prefix.
    assert loss("a b c d a b c d", 1, prefix=" d c [ ]") == pytest.approx(31 / 15 * LN2)


def test_the_sequence_ends_with_the_last_token_that_counts() -> None:
    question = LossQuestion(text_id="", text_ids=list(range(10)), prefix_ids=[90, 91], token_index=2)
    assert (list(question.targets), question.num_tokens) == ([4, 5, 6, 7, 8], 9)
    sequence = [*question.prefix_ids, *question.text_ids][: question.num_tokens]
    assert [sequence[target] for target in question.targets] == [2, 3, 4, 5, 6]


@pytest.mark.paper("F1")
def test_no_weights_go_beyond_five_tokens() -> None:
    assert weighted_loss([-1.0] * 5) == pytest.approx(1)
    assert weighted_loss([-1.0] * 9) == pytest.approx(1)
    assert weighted_loss([]) == 0
